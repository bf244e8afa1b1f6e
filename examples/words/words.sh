# Counts the words of /inputs/$1: the table into /outputs/words.csv, its head and the totals into the log.
set -eu
tr -cs "[:alpha:]'" '\n' < "/inputs/$1" | tr '[:upper:]' '[:lower:]' | grep -v '^$' | sort | uniq -c | sort -k1,1nr -k2 \
  | awk 'BEGIN { print "word,count" } { print $2 "," $1 }' > /outputs/words.csv
awk -F, 'NR > 1 && length($1) >= 4 && n++ < 10 { printf "%5d  %s\n", $2, $1 }' /outputs/words.csv
awk -F, 'NR > 1 { all += $2; n++ } END { print all " words, " n " different" }' /outputs/words.csv
