# Leibniz's series for pi, in $1 steps of 200,000 terms. Progress goes to stderr, the result to stdout and /outputs/pi.txt.
set -eu
awk -v steps="$1" 'BEGIN {
  terms = 200000
  for (step = 0; step < steps; step++) {
    for (i = step * terms; i < (step + 1) * terms; i += 2) sum += 2 / ((2 * i + 1) * (2 * i + 3))
    bar = substr("########################################", 1, 40 * (step + 1) / steps)
    printf "\r[%-40s] %3d %%", bar, 100 * (step + 1) / steps > "/dev/stderr"
    fflush()
  }
  # Before the result, which has a stream of its own.
  printf "\n" > "/dev/stderr"
  fflush()
  # The rest of the series after n terms is close to 1 / (2 n).
  printf "pi is about %.7f\n", 4 * sum + 1 / (steps * terms)
}' | tee /outputs/pi.txt
