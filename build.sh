#!/usr/bin/env bash
# Everything a checkout needs, behind one command. It may be run from any folder, as often as you like: whatever is
# already there and up to date is left alone.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
cd "$root"
venv=$(realpath -m "${HDL_VENV:-.venv}") log="$root/.build/setup.log"
stamps="$venv/.hdl"
# Called as `python -m …`, never by the scripts in .venv/bin: their first line breaks on long paths and on moved checkouts.
python="$venv/bin/python"

usage() {
  cat <<'HELP'
usage: ./build.sh COMMAND

  demo               train a network on handwritten digits with two workers and write an HTML report
  test [ARGS]        run the tests; ARGS go to pytest (--full adds the slow ones, --gpu those that need a GPU,
                     -k NAME picks some)
  lint               check style, spelling and types: ruff, clang-format, codespell, mypy
  wheel [FOLDER]     build the source archive, and for each Python of 3.11 to 3.13 that is here a manylinux_2_28 wheel, into
                     dist/ or FOLDER; each is tried in a fresh environment
  hadoop             build pydoop against the Hadoop that is there, or against one that `hdl cluster` fetches
  cuda               build the CUDA core and PyCUDA, and put wheels of all that a GPU machine needs into dist/; no GPU is
                     needed. For a machine with Python 3.12: HDL_PYTHON=python3.12 HDL_VENV=.venv312 ./build.sh cuda
  setup [EXTRAS]     only make .venv with the compiled core, e.g. `./build.sh setup demo,test,lint`
  help               this text

environment
  HDL_PYTHON         the Python (3.11 or newer) from which .venv is made
  HDL_VENV           another folder than .venv, e.g. to build for a second Python beside it
  CUDA_HOME          the CUDA toolkit (default: the nvcc 13 on the PATH, or else NVIDIA's wheels, 104 MB, in .venv)
  HDL_CUDA           0: `test` does without the CUDA core and its compiler
  HDL_DATA           data sets for tests and studies (default ../shared/data)
  HDL_ISA            avx512, avx2 or generic: the kernels to run (default: the best this processor has)
HELP
}

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }

# quietly WHAT COMMAND…: its output goes to the log, and onto the screen only if it fails.
quietly() {
  local what=$1 start=$SECONDS from
  shift
  say "$what …"
  mkdir -p "${log%/*}"
  from=$(($(stat -c %s "$log" 2>/dev/null || echo 0) + 1))
  if ! "$@" >>"$log" 2>&1; then
    tail -c "+$from" "$log" | tail -n 40 >&2
    die "failed: $what (whole log: $log)"
  fi
  ((SECONDS - start < 5)) || say "  $((SECONDS - start)) s"
}

# --- system packages -------------------------------------------------------------------------------------------------

find_python() {
  local name
  for name in ${HDL_PYTHON:+"$HDL_PYTHON"} python3 python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      # Inside an activated environment: the Python beneath it, or .venv would be made out of itself.
      "$name" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
      return
    fi
  done
}

# Debian's names of what is missing; a Python from elsewhere brings its own headers and venv.
missing_packages() {
  local base=$1 version
  [[ -n $base ]] || { echo python3 python3-dev python3-venv; }
  if [[ -n $base ]]; then
    version=$("$base" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$base" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
    "$base" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
      echo "$version-dev"
  fi
  command -v "${CC:-cc}" >/dev/null || echo gcc
  [[ -e /usr/include/stdio.h ]] || echo libc6-dev
  shift
  local tool
  for tool; do
    case $tool in
      chromium) command -v chromium chromium-browser google-chrome >/dev/null || echo chromium ;;
      hadoop)
        [[ -n ${JAVA_HOME:-} ]] || command -v javac >/dev/null || echo openjdk-17-jdk-headless
        command -v hadoop >/dev/null || [[ -n ${HADOOP_HOME:-} ]] || command -v mvn >/dev/null || echo maven
        command -v g++ >/dev/null || echo g++
        command -v patch >/dev/null || echo patch
        [[ -e /usr/include/tirpc/rpc/types.h ]] || echo libtirpc-dev
        ;;
      kerberos) # of the tests' cluster with it; a user's PATH often lacks /usr/sbin
        local program
        for program in krb5kdc:krb5-kdc kadmin.local:krb5-admin-server kinit:krb5-user curl:curl faketime:faketime; do
          PATH=$PATH:/usr/sbin:/sbin command -v "${program%:*}" >/dev/null || echo "${program#*:}"
        done
        compgen -G '/usr/lib*/libnss_wrapper.so' >/dev/null || compgen -G '/usr/lib/*/libnss_wrapper.so' >/dev/null ||
          echo libnss-wrapper
        ;;
      cuda) command -v "${CXX:-g++}" >/dev/null || echo g++ ;;
    esac
  done
}

system_packages() {
  local missing admin=()
  missing=$(missing_packages "$(find_python)" "$@" | xargs)
  [[ -n $missing ]] || return 0
  if ((EUID != 0)); then admin=(sudo -n); fi
  if ! command -v apt-get >/dev/null || { ((EUID != 0)) && ! sudo -n true 2>/dev/null; }; then
    die "these system packages are missing: $missing (on Debian and Ubuntu: sudo apt-get install $missing)"
  fi
  # The package lists of a fresh image are often empty or old, so a failed install is tried again after an update.
  # shellcheck disable=SC2086
  quietly "Installing system packages: $missing" bash -c '
    get() { "$@" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends '"$missing"'; }
    get "$@" || { "$@" apt-get update && get "$@"; }' _ "${admin[@]}"
}

# --- the environment -------------------------------------------------------------------------------------------------

# A stamp holds the hash of all that a piece of work depends on; equal hash, nothing to do.
hash_of() { { printf '%s\n' "$root"; cat "$@"; } | sha256sum | cut -d' ' -f1; }
fresh() { [[ -f $stamps/$1 && $(<"$stamps/$1") == "$2" ]]; }
stamp() { mkdir -p "$stamps" && printf '%s\n' "$2" >"$stamps/$1"; }

# What the extensions are made of; the .c files in hdl are Cython's.
sources() { find csrc hdl setup.py -regex '.*\.\([ch]\|cuh?\|pyx\|px[di]\)' -o -name setup.py; }
hash_listed() { { printf '%s\n' "$root" "$@"; LC_ALL=C sort | tr '\n' '\0' | xargs -0 cat; } | sha256sum | cut -d' ' -f1; }
core_hash() { sources | grep -v -e cuda -e '^hdl/.*\.c$' | hash_listed "${CC:-cc}" "${CFLAGS:-}"; }
cuda_hash() { sources | grep -v -e cpu -e '^hdl/.*\.c$' | hash_listed "$("$CUDA_HOME/bin/nvcc" --version)" "${CXX:-}"; }

# --no-compile: Python compiles a module when it is first used, and most of what comes with a package never is.
install() { "$python" -m pip --disable-pip-version-check --no-input install --no-compile -c .ci/constraints.txt "$@"; }

without_cuda() { HDL_CUDA=0 "$@"; }

# Two commands at once in one checkout take turns.
lock() { mkdir -p .build && exec 9>.build/lock && flock 9; }
unlock() { exec 9>&-; }

# setup EXTRAS: .venv with hdl-hadoop[EXTRAS] installed in place and the core compiled. Each set of extras has its own stamp.
setup() {
  local extras=$1 want core part todo=()
  lock
  if [[ ! -x $python ]] || ! "$python" -c 'import pip' 2>/dev/null; then
    : >"$log"
    quietly "Making .venv" "$(find_python)" -m venv --clear "$venv"
  fi
  want=$(hash_of pyproject.toml .ci/constraints.txt)
  core=$(core_hash)
  for part in base ${extras//,/ }; do
    fresh "$part" "$want" || todo+=("$part")
  done
  if ((${#todo[@]})); then
    fresh base "$want" || quietly "Installing build tools" install cython setuptools wheel
    quietly "Installing hdl${extras:+[$extras]} and compiling its core" \
      without_cuda install --no-build-isolation --editable ".${extras:+[$extras]}"
    for part in "${todo[@]}"; do stamp "$part" "$want"; done
    stamp core "$core"
  elif ! fresh core "$core"; then
    quietly "Compiling the core" without_cuda "$python" setup.py build_ext --inplace
    stamp core "$core"
  fi
  unlock
}

# pydoop has only sources, which need our patch and a Hadoop to compile against; the wheel is cached for the user.
pydoop() {
  local want
  want=$(hash_of hdl/cluster/pydoop.py hdl/cluster/pydoop.patch <(printf '%s\n' "${HADOOP_HOME:-}" "${JAVA_HOME:-}"))
  fresh pydoop "$want" && return
  quietly "Building pydoop" "$python" -m hdl.cluster.pydoop
  stamp pydoop "$want"
}

# The compiler for GPUs: CUDA_HOME, one of this version on the PATH, or NVIDIA's wheels in .venv.
toolkit() {
  local want
  if [[ -n ${CUDA_HOME:-} ]]; then
    [[ -x $CUDA_HOME/bin/nvcc ]] || die "there is no bin/nvcc in CUDA_HOME, $CUDA_HOME (HDL_CUDA=0 does without)"
  elif nvcc --version 2>/dev/null | grep -q 'release 13\.'; then
    CUDA_HOME=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
  else
    CUDA_HOME=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia/cu13
    want=$(hash_of <(grep -e ^cuda -e ^nvidia .ci/constraints.txt))
    if ! fresh toolkit "$want"; then
      quietly "Installing the CUDA compiler, 104 MB (HDL_CUDA=0 does without)" \
        install 'cuda-toolkit[nvcc,nvvm,crt,cudart,cccl,profiler]'
      stamp toolkit "$want"
    fi
  fi
  export CUDA_HOME
}

# hdl._cuda in place, its kernels compiled for every GPU that setup.py names.
cuda_core() {
  local want
  lock
  toolkit
  want=$(cuda_hash)
  if ! fresh cuda "$want"; then
    HDL_CUDA=1 quietly "Compiling the CUDA core" "$python" setup.py build_ext --inplace
    stamp cuda "$want"
  fi
  unlock
}

# pycuda FOLDER: PyCUDA in .venv, and its wheel in FOLDER.
pycuda() {
  quietly "Building PyCUDA (2 minutes the first time)" env PYTHON="$python" .ci/pycuda "$1"
  quietly "Installing PyCUDA" install "$1"/pycuda-*.whl
}

# --- commands --------------------------------------------------------------------------------------------------------

demo() {
  system_packages
  setup demo
  exec "$python" -m hdl.demo "$@"
}

run_tests() {
  system_packages chromium hadoop kerberos cuda
  setup test
  pydoop
  [[ ${HDL_CUDA:-} == 0 ]] || cuda_core
  [[ " $* " != *" --gpu "* ]] || pycuda "$stamps/wheels"
  # Two processes share the tests, unless a GPU is shared, or the arguments say how many.
  local share=(-n 2 --dist loadscope --no-loadscope-reorder)
  [[ " $* " != *" --gpu "* && " $* " != *" -n"* && " $* " != *" --pdb "* ]] || share=()
  exec "$python" -m pytest ${share[@]+"${share[@]}"} "$@"
}

lint() {
  system_packages
  setup lint
  local failed=0
  "$python" -m ruff check . || failed=1
  "$python" -m ruff format --check . || failed=1
  find csrc tests -regex '.*\.\([ch]\|cpp\|cuh?\)' -print0 | xargs -0r "$venv/bin/clang-format" --dry-run --Werror || failed=1
  "$python" -m codespell_lib || failed=1
  "$python" -m mypy || failed=1
  exit "$failed"
}

# Wheels of hdl with its CUDA core, of PyCUDA and of all that they need, for a machine with a GPU and no registry.
cuda() {
  local wheels
  system_packages cuda
  setup ""
  cuda_core
  wheels=dist/cuda-$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
  rm -rf "$wheels" build/lib.* # modules that are no more lie in build/lib.* and would be packed
  pycuda "$wheels"
  HDL_CUDA=1 quietly "Gathering wheels" "$python" -m pip --disable-pip-version-check --no-input wheel \
    --no-build-isolation -c .ci/constraints.txt -w "$wheels" . "$wheels"/pycuda-*.whl
  say "There, with a driver and $("$python" -V): pip install --no-index --find-links $wheels hdl-hadoop pycuda"
}

wheel() {
  system_packages
  setup wheel
  exec 3>&2
  PYTHON="$python" quietly "Building the sdist and the wheels" .ci/wheels "${1:-dist}"
  say "They are in ${1:-dist}"
}

command=${1:-help}
(($#)) && shift
case $command in
  demo) demo "$@" ;;
  test) run_tests "$@" ;;
  lint) lint ;;
  wheel) wheel "$@" ;;
  cuda) cuda ;;
  hadoop)
    system_packages hadoop
    setup ""
    pydoop
    ;;
  setup)
    system_packages
    setup "${1:-}"
    ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    die "unknown command: $command"
    ;;
esac
