import { expect, test } from "vitest"
import { b64, fragment, inFakeTime, type World, wait, world } from "../../client/world.fake.ts"
import { KEEP_MS } from "./autosave.svelte.ts"
import { View } from "./view.svelte.ts"

inFakeTime()

const LINK = fragment("x", `&inputs=${b64({ "main.sh": "echo saved" })}`)

async function opened(hash: string, database?: World["database"]): Promise<World & { view: View }> {
  const made = await world(hash, database)
  const view = new View(made.client)
  await wait(1)
  return { ...made, view }
}
/** Does what the page does on each change. */
const noted = async ({ autosave }: View): Promise<unknown> => (autosave.note(autosave.edits), wait(KEEP_MS + 100))

test("edits of files and settings come back with the same link, are announced, and can be discarded", async () => {
  const { view, database } = await opened(LINK)
  view.drafts.edit("main.sh", "echo edited")
  view.settings.form.command = "sh edited"
  view.autosave.note(view.autosave.edits)
  expect(view.autosave.isKept).toBe(false)
  await wait(KEEP_MS + 100)
  expect([view.autosave.isKept, database.keptEdits.size]).toEqual([true, 1])

  const again = (await opened(LINK, database)).view
  expect([again.drafts.text("main.sh"), again.settings.form.command, again.autosave.restored])
    .toEqual(["echo edited", "sh edited", ["main.sh", "the settings"]])
  again.autosave.discard()
  await noted(again)
  expect([again.drafts.text("main.sh"), again.settings.form.command, again.autosave.restored, database.keptEdits.size])
    .toEqual(["echo saved", "x", [], 0])
})

test("saved edits are no longer stored, and a later edit is stored for the new state of the job", async () => {
  const { view, database, client } = await opened(LINK)
  view.drafts.edit("main.sh", "echo edited")
  await noted(view)
  view.save()
  await noted(view)
  expect([client.params.inputs["main.sh"], database.keptEdits.size]).toEqual(["echo edited", 0])
  view.drafts.edit("main.sh", "echo twice")
  await noted(view)
  expect((await opened(LINK, database)).view.hasEdits).toBe(false)
  const saved = fragment("x", `&inputs=${b64({ "main.sh": "echo edited" })}`)
  expect((await opened(saved, database)).view.drafts.text("main.sh")).toBe("echo twice")
})

test("edits to one job, at one queue, never appear in another", async () => {
  const { view, database } = await opened(LINK)
  view.drafts.edit("main.sh", "echo edited")
  await noted(view)
  for (const other of [fragment("y", `&inputs=${b64({ "main.sh": "echo saved" })}`), LINK.replace("queue=q", "queue=p")]) {
    expect((await opened(other, database)).view.hasEdits).toBe(false)
  }
})

test("edits from before the stored edits were read stay, and values that are not edits are left out", async () => {
  const { view, database } = await opened(LINK)
  view.drafts.edit("main.sh", "echo kept")
  await noted(view)
  const { client } = await world(LINK, database)
  const quick = new View(client)
  quick.drafts.edit("main.sh", "echo newer")
  await wait(1)
  expect([quick.drafts.text("main.sh"), quick.autosave.restored]).toEqual(["echo newer", []])
  const [key] = database.keptEdits.keys()
  for (const broken of [5, { texts: 5 }, { texts: { "main.sh": 5 }, form: { source: "image", env: [1] } }]) {
    database.keptEdits.set(key!, broken)
    expect((await opened(LINK, database)).view.hasEdits).toBe(false)
  }
})

test("a closing page stores what was typed just before", async () => {
  const { view, database } = await opened(LINK)
  view.drafts.edit("main.sh", "echo last")
  view.autosave.note(view.autosave.edits)
  view.autosave.flush()
  await wait(1)
  expect([...database.keptEdits.values()]).toMatchObject([{ texts: { "main.sh": "echo last" } }])
})
