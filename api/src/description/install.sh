#!/bin/sh
# Installs the agents' skill of the Asman server at @ROOT@ into a folder: the first argument, else ~/.claude/skills.
# It changes nothing outside of that folder.
set -eu

root='@ROOT@'
folder=${1:-$HOME/.claude/skills}/asman
get() { curl -fsSL "$root/docs/skill/asman/$1" -o "$folder/$1.part" && mv "$folder/$1.part" "$folder/$1"; }

mkdir -p "$folder/references"
get SKILL.md
for page in @REFERENCES@; do get "references/$page.md"; done
printf '%s\n' "$root" >"$folder/server"

if ! command -v asman >/dev/null 2>&1; then
  system=$(uname -s | tr '[:upper:]' '[:lower:]')
  mkdir -p "$folder/scripts"
  if curl -fsSL "$root/download/asman?os=$system&arch=$(uname -m)" -o "$folder/scripts/asman.part"; then
    chmod +x "$folder/scripts/asman.part"
    mv "$folder/scripts/asman.part" "$folder/scripts/asman"
    echo "asman: $folder/scripts/asman; put its folder into PATH"
  else
    rm -f "$folder/scripts/asman.part"
    echo "this server does not offer an asman program for this machine; the skill's tools over HTTP work without it" >&2
  fi
fi
echo "skill: $folder; its examples use the server $root"
