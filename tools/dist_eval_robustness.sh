#!/usr/bin/env bash
# Usage: tools/dist_eval_robustness.sh CLS_CONFIG CHECKPOINT GPUS [options of tools/eval_robustness.py]
# Starts one process per GPU (per CPU share without GPUs). Several machines with a common --out: set
# NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4s/^# //p' "$0"; exit 2; fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
tools=$(dirname "$0")
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"  # what torchrun sets, without its notice
exec "${PYTHON:-python}" -m mmc2fmae.torchrun \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$tools/eval_robustness.py" "$CONFIG" "$CHECKPOINT" "${@:4}"
