#!/usr/bin/env bash
# Everything that needs a GPU, in one go: JSON, logs and pictures go to the folder OUT.
#
#     benchmarks/gpu_check.sh OUT [PART …]        parts: tests sanitizers consumer benchmarks traffic page
#
# Without PART all of them. A check that fails does not stop the next ones; there is a summary at the end, and an error
# if one of them failed. PYTHON says which Python, e.g. PYTHON=.venv/bin/python.
set -uo pipefail

PARTS=(tests sanitizers consumer benchmarks traffic page)
# Every kernel has tests in these; compute-sanitizer makes them slower, but they are small.
KERNEL_TESTS=(tests/dalimix/operators tests/dalimix/parts)
BENCHMARKS=(kernels.bench_kernels peers.bench_peers pipeline.bench_pipeline training.bench_train
            methods.bench_attention methods.bench_tokenmix methods.bench_smmix pipeline.bench_callback)
SHOWN=3 # last lines of the log of what failed

PYTHON=${PYTHON:-python3}
PATH=$PATH:/usr/local/cuda/bin
failed=()

main() {
  (($#)) || stop "give a folder for the results: $0 OUT [PART …]"
  need_gpu
  local part chosen=("${@:2}")
  ((${#chosen[@]})) || chosen=("${PARTS[@]}")
  need_parts "${chosen[@]}"
  out=$(mkdir -p "$1" && cd "$1" && pwd) || stop "no folder can be made at $1"
  cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
  nvidia-smi >"$out/nvidia-smi.txt"
  for part in "${chosen[@]}"; do "check_$part"; done
  summary
}

stop() {
  echo "$1" >&2
  exit 1
}

need_gpu() {
  command -v nvidia-smi >/dev/null || stop "no GPU here: there is no nvidia-smi"
  nvidia-smi --list-gpus 2>/dev/null | grep -q '^GPU' || stop "no GPU here: nvidia-smi lists none"
}

need_parts() {
  local part
  for part in "$@"; do
    [[ " ${PARTS[*]} " == *" $part "* ]] || stop "no part is called $part: there are ${PARTS[*]}"
  done
}

# check NAME COMMAND …: with a log; whether it failed is remembered.
check() {
  local name=$1 start=$SECONDS result=passed
  printf '%-20s ' "$name"
  "${@:2}" >"$out/$name.log" 2>&1 || result=FAILED
  echo "$result, $((SECONDS - start)) s"
  [[ $result == passed ]] && return
  failed+=("$name")
  tail -n "$SHOWN" "$out/$name.log" | sed 's/^/    /'
}

check_tests() {
  check tests "$PYTHON" -m pytest -m cuda --require-gpu --junitxml="$out/tests.xml"
}

check_sanitizers() {
  local tool
  for tool in memcheck racecheck initcheck; do
    check "$tool" compute-sanitizer --tool "$tool" --report-api-errors no --error-exitcode 1 \
      "$PYTHON" -m pytest -p benchmarks.pipeline.without_pool -m cuda --require-gpu --junitxml="$out/$tool.xml" \
      "${KERNEL_TESTS[@]}"
  done
}

check_consumer() {
  benchmark pipeline.slow_consumer slow-consumer --batches 500
}

check_benchmarks() {
  local module
  for module in "${BENCHMARKS[@]}"; do benchmark "$module" "${module#*.bench_}"; done
  check kernel-table "$PYTHON" -m benchmarks.kernels.table --json "$out/kernel-table-cpu.json" # no GPU takes part in it
}

# benchmark MODULE NAME OPTION …: leaves NAME-gpu.json.
benchmark() {
  check "$2" "$PYTHON" -m "benchmarks.$1" --device gpu --json "$out/$2-gpu.json" "${@:3}"
}

# The bytes that compose moves, by the counters of the memory, to be compared with those that it must move: one launch
# for every line of traffic.log, in its order.
check_traffic() {
  command -v ncu >/dev/null || { printf '%-20s left out: there is no ncu\n' traffic; return; }
  check traffic ncu --kernel-name compose --csv --log-file "$out/traffic.csv" \
    --metrics dram__bytes_read.sum,dram__bytes_write.sum,gpu__time_duration.sum \
    "$PYTHON" -m benchmarks.kernels.bench_kernels --device gpu --only compose --batch 256 --once
}

check_page() {
  check page "$PYTHON" -m benchmarks.page.make_results "$out"
}

summary() {
  if ((${#failed[@]})); then
    echo "failed: ${failed[*]}" | tee "$out/summary.txt"
    exit 1
  fi
  echo "all passed" | tee "$out/summary.txt"
}

main "$@"
