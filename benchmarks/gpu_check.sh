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
KERNEL_TESTS=(attention_region attentive_cutmix compose compose_values couples cutmix heatmap_crop mixup philox
              random_choice resample_heatmaps smmix soft_labels token_mask token_mix top_patches)
BENCHMARKS=(kernels peers pipeline train attention tokenmix smmix callback)
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
  local tool files=("${KERNEL_TESTS[@]/#/tests/test_}")
  files=("${files[@]/%/.py}")
  for tool in memcheck racecheck initcheck; do
    check "$tool" env PYTHONPATH=benchmarks compute-sanitizer --tool "$tool" --report-api-errors no --error-exitcode 1 \
      "$PYTHON" -m pytest -p without_pool -m cuda --require-gpu --junitxml="$out/$tool.xml" "${files[@]}"
  done
}

check_consumer() {
  benchmark slow_consumer slow-consumer --batches 500
}

check_benchmarks() {
  local name
  for name in "${BENCHMARKS[@]}"; do benchmark "bench_$name" "$name"; done
  check kernel-table "$PYTHON" benchmarks/kernels/table.py --json "$out/kernel-table-cpu.json" # no GPU takes part in it
}

# benchmark SCRIPT NAME OPTION …: leaves NAME-gpu.json.
benchmark() {
  check "$2" "$PYTHON" "benchmarks/$1.py" --device gpu --json "$out/$2-gpu.json" "${@:3}"
}

# The bytes that compose moves, by the counters of the memory, to be compared with those that it must move: one launch
# for every line of traffic.log, in its order.
check_traffic() {
  command -v ncu >/dev/null || { printf '%-20s left out: there is no ncu\n' traffic; return; }
  check traffic ncu --kernel-name compose --csv --log-file "$out/traffic.csv" \
    --metrics dram__bytes_read.sum,dram__bytes_write.sum,gpu__time_duration.sum \
    "$PYTHON" benchmarks/kernels/bench_kernels.py --device gpu --only compose --batch 256 --once
}

check_page() {
  check page "$PYTHON" benchmarks/page/make_results.py "$out"
}

summary() {
  if ((${#failed[@]})); then
    echo "failed: ${failed[*]}" | tee "$out/summary.txt"
    exit 1
  fi
  echo "all passed" | tee "$out/summary.txt"
}

main "$@"
