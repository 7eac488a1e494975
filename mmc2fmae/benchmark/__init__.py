"""What a machine does with this project: speed, memory and agreement of precisions (`bench`)."""
