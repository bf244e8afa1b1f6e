/** The code editor. This module and what it imports are loaded when the first file is opened. */
import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete"
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands"
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language"
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search"
import { Compartment, EditorState } from "@codemirror/state"
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap,
  lineNumbers } from "@codemirror/view"
import { tags } from "@lezer/highlight"
import { languageOf } from "./language.ts"

export interface EditorCalls {
  onedit(text: string): void
  onsave(): void
  onrun(): void
}

/** A longer document is shown but cannot be edited: each key press would copy it. */
export const EDITED_CHARS_MAX = 2_000_000

/** The editor of one file in an element. `name` decides the language, and screen readers read it as the editor's name. */
export class CodeEditor {
  readonly #view: EditorView
  #isSetting = false

  constructor(host: HTMLElement, name: string, text: string, calls: EditorCalls) {
    const language = new Compartment()
    this.#view = new EditorView({
      parent: host,
      state: EditorState.create({ doc: text, extensions: [language.of([]), ...this.#extensions(name, text, calls)] }),
    })
    void languageOf(name).then((found) => this.#view.dispatch({ effects: language.reconfigure(found) }))
  }

  /** Takes a text from elsewhere, such as the fragment; the cursor stays in place if possible. */
  set(text: string): void {
    const { doc } = this.#view.state
    if (doc.length === text.length && doc.toString() === text) return
    this.#isSetting = true
    this.#view.dispatch({ changes: { from: 0, to: doc.length, insert: text } })
    this.#isSetting = false
  }

  focus(): void {
    this.#view.focus()
  }

  dispose(): void {
    this.#view.destroy()
  }

  #extensions(name: string, text: string, calls: EditorCalls) {
    const own = keymap.of([
      { key: "Mod-s", run: () => (calls.onsave(), true), preventDefault: true },
      { key: "Mod-Enter", run: () => (calls.onrun(), true), preventDefault: true },
    ])
    const edits = EditorView.updateListener.of((update) => {
      if (update.docChanged && !this.#isSetting) calls.onedit(update.state.doc.toString())
    })
    return [
      own, lineNumbers(), highlightActiveLineGutter(),
      highlightSpecialChars({ addSpecialChars: /[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g }),
      history(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(), highlightActiveLine(),
        highlightSelectionMatches(),
      search({ top: true }), syntaxHighlighting(COLOURS), LOOK, edits,
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, indentWithTab]),
      EditorView.contentAttributes.of({ "aria-label": `Text of ${name}` }),
        EditorState.readOnly.of(text.length > EDITED_CHARS_MAX),
    ]
  }
}

const COLOURS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--ok)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--warn)" },
  { tag: [tags.comment, tags.meta], color: "var(--text-soft)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.variableName), tags.standard(tags.name)],
    color: "var(--accent)" },
  { tag: [tags.propertyName, tags.attributeName, tags.typeName, tags.className], color: "var(--code-name)" },
  { tag: tags.heading, fontWeight: "bold" },
  { tag: tags.link, textDecoration: "underline" },
])

const LOOK = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", backgroundColor: "var(--bg)", color: "var(--text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--bg-panel)", color: "var(--text-soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent) !important",
  },
  ".cm-panels": { backgroundColor: "var(--bg-panel)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-soft)", outline: "1px solid var(--warn)" },
})
