#!/bin/bash

# Parameters
#SBATCH --error=/jobs/slurm/%j_0_log.err
#SBATCH --job-name=submitit
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=/jobs/slurm/%j_0_log.out
#SBATCH --signal=USR2@90
#SBATCH --time=5
#SBATCH --wckey=submitit

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /jobs/slurm/%j_%t_log.out --error /jobs/slurm/%j_%t_log.err python -u -m submitit.core._submit /jobs/slurm
