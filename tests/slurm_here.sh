#!/usr/bin/env bash
# A Slurm of one machine for the tests marked `slurm`: install Debian's packages, configure, start, wait until it answers.
# Run as root. `tests/slurm_here.sh stop` ends it. The state and the logs are in /tmp/slurm-here.
set -euo pipefail
state=/tmp/slurm-here
stop() {
    for name in slurmd slurmctld munged; do
        [ -f "$state/$name.pid" ] && kill "$(cat "$state/$name.pid")" 2> /dev/null && rm -f "$state/$name.pid"
    done || true
}
if [ "${1:-start}" = stop ]; then stop; exit 0; fi
if ! command -v slurmctld > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi
stop
mkdir -p "$state"/{spool,ctld} /run/munge /var/lib/munge /var/log/munge /etc/munge
[ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
chown -R munge: /run/munge /var/lib/munge /var/log/munge /etc/munge
chmod 755 /run/munge && chmod 400 /etc/munge/munge.key
runuser -u munge -- munged --force --pid-file=/run/munge/munged.pid
ln -sf /run/munge/munged.pid "$state/munged.pid"
cat > "$state/slurm.conf" <<CONF
ClusterName=here
SlurmctldHost=$(hostname -s)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
JobRequeue=1
KillWait=30
MinJobAge=300
MpiDefault=none
NodeName=$(hostname -s) CPUs=$(nproc) State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=60 State=UP
CONF
mkdir -p /etc/slurm && cp "$state/slurm.conf" /etc/slurm/slurm.conf
slurmctld -c && slurmd
for _ in $(seq 60); do
    sinfo --noheader --format=%T 2> /dev/null | grep -q idle && { sinfo; exit 0; }
    sleep 1
done
tail -5 "$state"/slurmctld.log "$state"/slurmd.log
echo "Slurm does not answer: see $state" >&2
exit 1
