"""A local web page that shows what a pre-trained model sees, predicts and attends to."""
