"""Image files are opened here and nowhere else: by a list of formats, none of which runs a program.

Pillow opens far more than photographs, and for EPS it starts Ghostscript on the file, whatever the
file is called. Files that others wrote are therefore opened by :func:`open_image` alone.

A photograph becomes 8-bit RGB by :func:`upright_rgb` alone, by one rule for each property: it is
turned and mirrored as its EXIF orientation says; 16-bit grey is divided by 257, pixels of 32 bits
are refused; alpha is dropped, palette, CMYK, grey and 1-bit pixels are converted by Pillow.
"""
