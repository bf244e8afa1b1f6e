import type { ITheme } from "@xterm/xterm"
import type { RowLook } from "./render.ts"

/** Colours of the terminal; each of them has a contrast of 4.5 or more against the background. */
export function terminalTheme(isDark: boolean): ITheme {
  return isDark ? DARK : LIGHT
}

/** Colours of the marks that the page adds to lines. */
export function rowLook(isDark: boolean, hasTimes: boolean): RowLook {
  return isDark
    ? { hasTimes, stderr: "255;170;140", build: "140;180;255", faint: "150;162;158" }
    : { hasTimes, stderr: "165;50;20", build: "40;80;170", faint: "95;105;101" }
}

/** Colours of search hits. */
export function hitColours(isDark: boolean) {
  return isDark
    ? { matchBackground: "#4a4320", activeMatchBackground: "#8a6d00", matchOverviewRuler: "#8a6d00",
      activeMatchColorOverviewRuler: "#ffd166" }
    : { matchBackground: "#fff0b8", activeMatchBackground: "#ffc83d", matchOverviewRuler: "#d9b44a",
      activeMatchColorOverviewRuler: "#a06a00" }
}

const LIGHT: ITheme = {
  background: "#ffffff", foreground: "#1c2321", cursor: "#ffffff", cursorAccent: "#ffffff", selectionBackground: "#bfe3d8",
  black: "#1c2321", red: "#b3261e", green: "#1c7043", yellow: "#7d5700", blue: "#1f5fb5", magenta: "#8e3a9d", cyan: "#0b6e7c",
  white: "#55605c",
  brightBlack: "#5f6965", brightRed: "#c22f26", brightGreen: "#1f7a4a", brightYellow: "#8a5f00", brightBlue: "#2a6cc7",
  brightMagenta: "#9a45aa", brightCyan: "#0f7685", brightWhite: "#1c2321",
}
const DARK: ITheme = {
  background: "#15181a", foreground: "#e3e8e6", cursor: "#15181a", cursorAccent: "#15181a", selectionBackground: "#2c5a4e",
  black: "#6d7779", red: "#ff8f86", green: "#6fd19a", yellow: "#f0b95a", blue: "#82b4ff", magenta: "#dd9ded", cyan: "#6cd0de",
  white: "#e3e8e6",
  brightBlack: "#96a29e", brightRed: "#ffa9a2", brightGreen: "#8ce0b0", brightYellow: "#ffd07f", brightBlue: "#a3c8ff",
  brightMagenta: "#e8b7f4", brightCyan: "#90e0eb", brightWhite: "#ffffff",
}
