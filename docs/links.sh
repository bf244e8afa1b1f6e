#!/bin/sh
# Checks the Markdown files of the repository: each relative link leads to a file or a folder, and each #anchor to a heading.
#
#   docs/links.sh [FOLDER]
#
# Prints each broken link as FILE:LINE and exits with 1 if there is one. Anchors are those of GitHub, for headings in ASCII.
set -eu
cd "${1:-$(dirname "$0")/..}"

find . \( -name .git -o -name node_modules -o -name target -o -name dist -o -name .bin \) -prune -o -print | sed 's,^\./,,' | LC_ALL=C awk '
  # A heading as the anchor that leads to it.
  function anchor(heading) {
    gsub(/\]\([^)]*\)/, "", heading)
    heading = tolower(heading)
    gsub(/[^a-z0-9 _-]/, "", heading)
    gsub(/ /, "-", heading)
    return heading
  }
  # A path relative to the file that names it, as a path from the root. Empty for the root, ".." for a path out of it.
  function resolved(file, path,    parts, n, i, kept, depth) {
    if (path ~ /^\//) path = substr(path, 2)
    else if (match(file, /.*\//)) path = substr(file, 1, RLENGTH) path
    n = split(path, parts, "/"); depth = 0
    for (i = 1; i <= n; i++) {
      if (parts[i] == "" || parts[i] == ".") continue
      if (parts[i] == "..") { if (depth-- == 0) return ".."; continue }
      kept[++depth] = parts[i]
    }
    path = ""
    for (i = 1; i <= depth; i++) path = path (i > 1 ? "/" : "") kept[i]
    return path
  }
  function check(link,    parts, path, name) {
    sub(/^</, "", link); sub(/>?( .*)?$/, "", link)
    if (link ~ /^[a-z][a-z0-9+.-]*:/) return
    n_links++
    path = link; sub(/#.*/, "", path)
    path = path == "" ? file : resolved(file, path)
    if (!(path in exists) && path != "") { broken(link, "no such file"); return }
    if (!index(link, "#")) return
    name = link; sub(/^[^#]*#/, "", name)
    if (path ~ /\.md$/ && !((path, name) in anchors)) broken(link, "no such heading")
  }
  function broken(link, why) { printf "%s:%d: %s: %s\n", file, at, link, why; n_broken++ }
  # Reads one file: its headings in the first pass, its links in the second.
  function read(pass,    line, is_code, fence, name) {
    is_code = 0; at = 0
    while ((getline line < file) > 0) {
      at++
      if (match(line, /^ *(```+|~~~+)/)) {
        name = substr(line, RSTART, RLENGTH); gsub(/ /, "", name)
        if (!is_code) { is_code = 1; fence = name } else if (index(name, fence) == 1) is_code = 0
        continue
      }
      if (is_code) continue
      if (pass == 1) {
        if (line !~ /^#+ /) continue
        sub(/^#+ +/, "", line); name = anchor(line)
        anchors[file, name (seen[file, name]++ ? "-" seen[file, name] - 1 : "")] = 1
        continue
      }
      gsub(/`[^`]*`/, "", line); rest = line
      if (line ~ /^\[[^\]]+\]: /) { sub(/^\[[^\]]+\]: +/, "", line); check(line); continue }
      while (match(line, /\]\([^)]*\)/)) {
        name = substr(line, RSTART + 2, RLENGTH - 3)
        line = substr(line, RSTART + RLENGTH)
        check(name)
      }
      line = rest
      while (match(line, /(src|srcset|href)="[^"]*"/)) {
        name = substr(line, RSTART, RLENGTH - 1); sub(/^[a-z]*="/, "", name)
        line = substr(line, RSTART + RLENGTH)
        check(name)
      }
    }
    close(file)
  }
  { exists[$0] = 1; if (/\.md$/) files[++n] = $0 }
  END {
    for (i = 1; i <= n; i++) { file = files[i]; read(1) }
    for (i = 1; i <= n; i++) { file = files[i]; read(2) }
    if (n_broken) exit 1
    printf "%d files, %d relative links\n", n, n_links
  }'
