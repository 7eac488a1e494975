"""Data sets as they lie on disk: layout, conversion, packs, and the checker with its report."""
