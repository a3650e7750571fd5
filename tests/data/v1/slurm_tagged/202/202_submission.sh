#!/bin/bash

# Parameters
#SBATCH --array=0-1%2
#SBATCH --error=/jobs/slurm_tagged/%A_%a/%A_%a_0_log.err
#SBATCH --job-name=submitit
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=/jobs/slurm_tagged/%A_%a/%A_%a_0_log.out
#SBATCH --signal=USR2@90
#SBATCH --time=5
#SBATCH --wckey=submitit

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /jobs/slurm_tagged/%A_%a/%A_%a_%t_log.out --error /jobs/slurm_tagged/%A_%a/%A_%a_%t_log.err python -u -m submitit.core._submit /jobs/slurm_tagged/%j
