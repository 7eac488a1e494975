#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Starts one process per GPU (per CPU share without GPUs). Several machines: set NNODES, NODE_RANK,
# MASTER_ADDR and PORT on each. MAX_RESTARTS=N: start anew, from the last checkpoint, after a crash.
# SIGTERM, SIGUSR1: save, leave with status 75; the same command with --resume goes on from there.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,5s/^# //p' "$0"; exit 2; fi
CONFIG=$1 GPUS=$2
tools=$(dirname "$0")
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"  # what torchrun sets, without its notice
exec "${PYTHON:-python}" -m mmc2fmae.torchrun \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" --max_restarts="${MAX_RESTARTS:-0}" \
    "$tools/train.py" "$CONFIG" --launcher pytorch "${@:3}"
