#!/usr/bin/env bash
# Ten minutes of a machine with a GPU: tries every way of a GPU into a sandbox that is here, and names those that are not.
#
#   tests/gpu_machine.sh [INDEX]
#
# docs/sandbox.md (On a machine with a GPU) says what must be printed. It changes no setting of a driver or an engine.
set -u
index=${1:-0}
lines=()
failed=0

try() { # NAME COMMAND…: runs one way and notes how it went
    local name=$1
    shift
    echo "== $name"
    if "$@"; then
        lines+=("ok      $name")
    else
        lines+=("FAILED  $name")
        failed=1
    fi
}

absent() { # NAME WHY
    lines+=("absent  $1: $2")
}

here() {
    command -v "$1" >/dev/null 2>&1
}

here nvidia-smi || { echo "this machine has no nvidia-smi, so no NVIDIA driver"; exit 20; }
nvidia-smi -L

ways=(process)
if here docker && docker info >/dev/null 2>&1; then
    ways+=(docker)
    # the engine decides between the two: it lists CDI devices, or takes a device request
    if docker info --format '{{json .}}' | grep -q 'nvidia.com/gpu='; then docker_way=CDI; else docker_way="device request"; fi
else
    absent docker "no engine answers"
fi
if here podman; then ways+=(podman); else absent podman "not installed"; fi
if here apptainer; then ways+=(apptainer); else absent apptainer "not installed"; fi

for way in "${ways[@]}"; do
    case $way in
        docker) name="docker by $docker_way" ;;
        podman) name="podman by CDI" ;;
        *) name=$way ;;
    esac
    try "$name" bench doctor --gpu "$index" --sandbox "$way"
done

mig=$(nvidia-smi -L | grep -o 'MIG-[0-9a-f-]*' | head -n 1)
if [ -n "$mig" ]; then
    for way in "${ways[@]}"; do
        try "$way on a MIG device" env CUDA_VISIBLE_DEVICES="$mig" bench doctor --gpu 0 --sandbox "$way"
    done
else
    absent "MIG" "no MIG device is set up"
fi

if pgrep -f nvidia-cuda-mps-control >/dev/null 2>&1; then
    lines+=("ok      MPS: it runs, and all of the above ran beside it")
else
    absent "MPS" "it does not run; start nvidia-cuda-mps-control -d and run this again"
fi

echo "== in short"
printf '%s\n' "${lines[@]}"
exit $((failed * 20))
