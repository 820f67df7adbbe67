"""The operations in NumPy: the mathematical truth that every other backend is tested against."""
