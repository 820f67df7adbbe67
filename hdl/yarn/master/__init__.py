"""The master of an application: the driver's home, and the workers that it leads."""
