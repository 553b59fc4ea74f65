#!/usr/bin/env bash
# A Slurm of one node on this computer, for tests: its own key, ports and folders, all below DIR.
#
#   tests/slurm.sh start DIR     writes DIR/slurm.conf and starts munged, slurmctld and slurmd
#   tests/slurm.sh stop DIR      ends them
#
# Needs root, and Debian's slurm-wlm and munge. Nothing is written outside DIR. Use it with
#   export SLURM_CONF=DIR/slurm.conf PATH=DIR/bin:$PATH
set -euo pipefail

what=${1:?start or stop}
dir=$(realpath -m "${2:?a folder}")
export SLURM_CONF=$dir/slurm.conf

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  mkdir -p "$dir"/{state,spool,munge,bin}
  chmod 700 "$dir/munge"
  dd if=/dev/urandom of="$dir/munge/key" bs=128 count=1 status=none
  chmod 400 "$dir/munge/key"
  cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
# no cgroups, no accounting daemon: what ended is written to a file
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/completed.txt
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MinJobAge=600
# a node as large as a cluster's, whatever this computer is, so that no request is refused
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname=localhost CPUs=8 RealMemory=64000 State=UNKNOWN
PartitionName=test Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF
  # Snakemake takes SLURM_CONF from the environment of a job's steps
  printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$dir/bin/srun"
  chmod +x "$dir/bin/srun"
  touch "$dir/completed.txt"
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
  slurmctld
  slurmd -N localhost
  for _ in $(seq 60); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -qx idle; then
      return 0
    fi
    sleep 1
  done
  echo "the node did not become idle: $(sinfo --noheader 2>&1)" >&2
  tail -n 3 "$dir"/slurmctld.log "$dir"/slurmd.log >&2
  return 1
}

stop() {
  for pid in "$dir"/slurmd.pid "$dir"/slurmctld.pid "$dir"/munge/pid; do
    if [[ -s $pid ]]; then
      kill "$(cat "$pid")" 2>/dev/null || true
    fi
  done
}

"$what"
