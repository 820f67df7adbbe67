"""What `python -m tests.bench.scale` is made of: costs, schedules, the simulation, real runs, the picture."""
