"""What several tests need: a throwaway Slurm cluster, an ordinary user."""
