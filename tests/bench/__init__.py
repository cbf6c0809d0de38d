"""What one core carries: figures as ratios to a plain server on the same core, taken in the same run."""
