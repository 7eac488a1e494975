#!/usr/bin/env bash
# Usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Environment: GPUS_PER_NODE (8), CPUS_PER_TASK (8), SRUN_ARGS (further options of srun).
set -euo pipefail
if [ $# -lt 5 ]; then sed -n '2,3s/^# //p' "$0"; exit 2; fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 CHECKPOINT=$4 GPUS=$5
per_node=${GPUS_PER_NODE:-8}
[ "$GPUS" -lt "$per_node" ] && per_node=$GPUS
# shellcheck disable=SC2086  (SRUN_ARGS is a list of options)
exec srun -p "$PARTITION" --job-name="$JOB_NAME" --gres="gpu:$per_node" --ntasks="$GPUS" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-8}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "${@:6}"
