# Counts the packages of a Cargo.lock by where they come from.
set -eu
lock=/inputs/Cargo.lock
csv=/outputs/packages-by-source.csv
echo "read $(wc -l < $lock) lines"
awk -F '"' '
  /^\[\[package\]\]/ { source[++n] = "this workspace" }
  /^source = / { source[n] = $2 }
  END { for (i = 1; i <= n; i++) print source[i] }
' $lock | sort | uniq -c | sort -nr | awk '
  BEGIN { print "source,packages" }
  { count = $1; sub(/^ *[0-9]+ /, ""); print $0 "," count }
' > $csv
echo "found $(awk -F, 'NR > 1 { n += $NF } END { print n + 0 }' $csv) packages"
