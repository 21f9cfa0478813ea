#!/usr/bin/env bash
# A sweep on Slurm: `sbatch cluster/slurm.sh --trials 64 --gpus-per-trial 0.25`, from the root of a checkout on the file
# system that all nodes share, with its .venv made (`make setup`). Arguments go to sweeps/tune_rte.py (or to the script
# that KDRAY_SWEEP names); the store is KDRAY_STORE, by default `store` in the checkout. See cluster/README.md.
#SBATCH --job-name=kdray
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --exclusive
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@180
#SBATCH --output=kdray-%j.out
# --exclusive: Ray's ports are fixed, two jobs on a node would meet. --signal: three minutes before the time is over the
# sweep is told to end; it then goes on with `sbatch cluster/slurm.sh --name NAME --resume`.
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:?run me by sbatch}"
# shellcheck disable=SC1091
. .venv/bin/activate
wanted=$(sed -n 's/^ray==//p' constraints.txt)
found=$(ray --version)
if [ "$found" != "ray, version $wanted" ]; then
    echo "slurm.sh: .venv has '$found', constraints.txt wants $wanted; make .venv anew with 'make setup'." >&2
    exit 2
fi

# A token for this job alone, in a file that only you can read. All nodes find it by its path; it is deleted at the end.
private=$(umask 077 && mktemp -d "$PWD/.kdray-job-$SLURM_JOB_ID-XXXXXX")
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$private/auth_token")
unset RAY_ADDRESS RAY_AUTH_TOKEN # a token in the environment would be preferred to the file
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$private/auth_token" RAY_USAGE_STATS_ENABLED=0

started=()
finish() { # on every way out: the sweep first, then the workers, then the head
    status=$?
    trap - EXIT
    trap '' TERM INT
    for process in "${started[@]}"; do
        if kill -TERM "$process" 2>/dev/null; then wait "$process" || true; fi
    done
    rm -rf "$private"
    exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# The first node of the allocation runs this script and becomes the head.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]:?scontrol named no node}
address=$(hostname -I | awk '{print $1}'):${KDRAY_PORT:-6379}
each=(--cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --export=ALL)
resources=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}")
[ -z "${SLURM_GPUS_ON_NODE:-}" ] || resources+=(--num-gpus="$SLURM_GPUS_ON_NODE")
ulimit -n "$(ulimit -Hn)"

srun --nodes=1 --ntasks=1 --nodelist="$head" "${each[@]}" \
    ray start --head --block --node-ip-address="${address%:*}" --port="${address##*:}" \
    --dashboard-host=127.0.0.1 --dashboard-port=8265 "${resources[@]}" &
started=($!)
for attempt in {1..60}; do
    if ray health-check --address "$address" >/dev/null 2>&1; then break; fi
    if [ "$attempt" = 60 ] || ! kill -0 "${started[0]}" 2>/dev/null; then
        echo "slurm.sh: the head did not start on $head" >&2
        exit 1
    fi
    sleep 2
done

others=$((${#nodes[@]} - 1))
if [ "$others" -gt 0 ]; then
    srun --nodes="$others" --ntasks="$others" --ntasks-per-node=1 --exclude="$head" "${each[@]}" \
        ray start --block --address="$address" "${resources[@]}" &
    started=($! "${started[@]}")
fi

export RAY_ADDRESS=$address # what `--address auto` means
python cluster/ready.py --nodes "${#nodes[@]}" --timeout 10
echo "dashboard: ssh -L 8265:127.0.0.1:8265 -J YOUR-LOGIN-NODE $head, then http://127.0.0.1:8265; token: $RAY_AUTH_TOKEN_PATH"
python "${KDRAY_SWEEP:-sweeps/tune_rte.py}" --address auto --store "${KDRAY_STORE:-$PWD/store}" "$@" &
started=($! "${started[@]}")
wait "${started[0]}"
