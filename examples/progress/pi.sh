# Leibniz's series for pi, in $1 steps of 200,000 terms. Progress and the result go to the log, and the result to /outputs/pi.txt.
set -eu
# One stream: two have no common order, and the result could come before the end of the bar.
exec 2>&1
awk -v steps="$1" 'BEGIN {
  terms = 200000
  for (step = 0; step < steps; step++) {
    for (i = step * terms; i < (step + 1) * terms; i += 2) sum += 2 / ((2 * i + 1) * (2 * i + 3))
    bar = substr("########################################", 1, 40 * (step + 1) / steps)
    printf "\r[%-40s] %3d %%", bar, 100 * (step + 1) / steps > "/dev/stderr"
    fflush()
  }
  printf "\n" > "/dev/stderr"
  fflush()
  # The rest of the series after n terms is close to 1 / (2 n).
  printf "pi is about %.7f\n", 4 * sum + 1 / (steps * terms)
}' | tee /outputs/pi.txt
