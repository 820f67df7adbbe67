#!/bin/sh
# hadoop, hdfs, yarn and mapred over the jars that `hdl cluster` assembled: the commands that hdl, pydoop and a
# newcomer need, spelled as in a Hadoop release. Anything with a dot in it is a main class, as in `hadoop CLASS`.
set -e
HADOOP_HOME=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
HADOOP_CONF_DIR=${HADOOP_CONF_DIR:-$HADOOP_HOME/etc/hadoop}
export HADOOP_HOME HADOOP_CONF_DIR
if [ -n "$JAVA_HOME" ]; then java=$JAVA_HOME/bin/java; else java=java; fi
share=$HADOOP_HOME/share/hadoop
name=$(basename "$0")

if [ "$1" = --config ]; then HADOOP_CONF_DIR=$2; shift 2; fi
command=$1
[ $# -eq 0 ] || shift
case $command in
  classpath)  # the configuration folder first: without it libhdfs silently opens the local file system
    path=$HADOOP_CONF_DIR:$share/hdfs
    if [ "$1" = --glob ]; then for jar in "$share"/lib/*.jar; do path=$path:$jar; done
    else path=$path:$share/lib/*; fi
    echo "$path${HADOOP_CLASSPATH:+:$HADOOP_CLASSPATH}"
    exit ;;
  fs|dfs) class=org.apache.hadoop.fs.FsShell ;;
  dfsadmin) class=org.apache.hadoop.hdfs.tools.DFSAdmin ;;
  fsck) class=org.apache.hadoop.hdfs.tools.DFSck ;;
  getconf) class=org.apache.hadoop.hdfs.tools.GetConf ;;
  key) class=org.apache.hadoop.crypto.key.KeyShell ;;
  crypto) class=org.apache.hadoop.hdfs.tools.CryptoAdmin ;;
  jar) class=org.apache.hadoop.util.RunJar ;;
  streaming) class=org.apache.hadoop.util.RunJar; set -- "$(ls "$share"/tools/lib/hadoop-streaming-*.jar)" "$@" ;;
  job) class=org.apache.hadoop.mapred.JobClient ;;
  checknative) class=org.apache.hadoop.util.NativeLibraryChecker ;;
  version) class=org.apache.hadoop.util.VersionInfo ;;
  app|application) class=org.apache.hadoop.yarn.client.cli.ApplicationCLI; set -- application "$@" ;;
  applicationattempt|container) class=org.apache.hadoop.yarn.client.cli.ApplicationCLI; set -- "$command" "$@" ;;
  logs) class=org.apache.hadoop.yarn.client.cli.LogsCLI ;;
  node) class=org.apache.hadoop.yarn.client.cli.NodeCLI ;;
  rmadmin) class=org.apache.hadoop.yarn.client.cli.RMAdminCLI ;;
  queue) class=org.apache.hadoop.yarn.client.cli.QueueCLI ;;
  *.*) class=$command ;;
  *)
    echo "usage: $name [--config DIR] classpath [--glob] | fs | dfs | dfsadmin | fsck | getconf | key | crypto |" \
         "jar | streaming | job | checknative | version | application | container | logs | node | rmadmin | queue | CLASS ..." >&2
    exit 2 ;;
esac
logs=${HADOOP_LOG_DIR:-${TMPDIR:-/tmp}}
# A client lives for seconds: the serial collector and the first compiler tier start it soonest.
# shellcheck disable=SC2086  # options are words
exec "$java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx"${HADOOP_HEAPSIZE_MAX:-256m}" \
  --add-opens java.base/java.lang=ALL-UNNAMED -Djava.net.preferIPv4Stack=true \
  -Dhadoop.home.dir="$HADOOP_HOME" -Djava.library.path="$HADOOP_HOME/lib/native" \
  -Dhadoop.log.dir="$logs" -Dyarn.log.dir="$logs" \
  -Dhadoop.root.logger="${HADOOP_ROOT_LOGGER:-INFO,console}" $HADOOP_OPTS $HADOOP_CLIENT_OPTS \
  -cp "$HADOOP_CONF_DIR:$share/hdfs:$share/lib/*${HADOOP_CLASSPATH:+:$HADOOP_CLASSPATH}" "$class" "$@"
