# Groups /inputs/$1 (date,shop,product,amount) by shop: count, sum and mean into the log and into /outputs/by-shop.csv.
set -eu
awk -F, '
  NR > 1 { n[$2]++; sum[$2] += $4 }
  END { for (shop in n) printf "%s,%d,%.2f,%.2f\n", shop, n[shop], sum[shop], sum[shop] / n[shop] }
' "/inputs/$1" | sort | { echo shop,sales,sum,mean; cat; } | tee /outputs/by-shop.csv
