import { describe, expect, it } from "vitest"
import type { Stage, StageKind } from "../../job/stage.ts"
import { CHANGES_MAX, changesOf } from "./changes.ts"
import { lineDiff } from "./line-diff.ts"
import { definitionOf, errorsOf, formOf, type JobForm, meansSame, merged } from "./form.ts"
import { maskedQueue, placeOf, privateQueueName, quoted, workerCommand } from "../shared/queue-name.ts"
import { shareLink } from "./share.ts"
import { actionOf, stageProgress, stageText } from "./status.ts"
import { cpusProblem, durationProblem, envNameProblem, fileNameProblem, imageProblem, objectProblem, queueProblem, sizeProblem,
  splitVariable } from "./validate.ts"

describe("checks", () => {
  it("accept the same durations as the server", () => {
    for (const good of ["", "5m", "1h30m", "90s", "1.5h", "60000", "5 minutes", "2 Hrs", "1w"]) expect(durationProblem(good)).toBe("")
    for (const bad of ["soon", "m", "-5m", "1h30", "5x", "250ms", "90", "0"]) expect(durationProblem(bad)).not.toBe("")
  })
  it("take sizes, numbers and images", () => {
    for (const good of ["512m", "4g", "4GiB", "1.5 gb", "1024", "512Mi"]) expect(sizeProblem(good)).toBe("")
    for (const bad of ["lots", "4x", "-1g"]) expect(sizeProblem(bad)).not.toBe("")
    expect([cpusProblem("0.5"), cpusProblem("0"), cpusProblem("x")].map((problem) => problem === "")).toEqual([true, false,
      false])
    for (const good of ["alpine", "ghcr.io/me/tool:1.2", `localhost:5000/a/b@sha256:${"ab".repeat(32)}`,
      "my__img"]) expect(imageProblem(good)).toBe("")
    for (const bad of ["", "a b", "a//b", "-a", "a;rm"]) expect(imageProblem(bad)).not.toBe("")
  })
  it("find what is wrong with names", () => {
    expect(envNameProblem("A B", [])).not.toBe("")
    expect(envNameProblem("A", ["A"])).toContain("two variables")
    for (const bad of ["", "../x", "a/../b", "a/", "a\u0000"]) expect(fileNameProblem(bad, [])).not.toBe("")
    expect(fileNameProblem("/etc/app.conf", [])).toBe("")
    expect([queueProblem("my-queue"), queueProblem("https://h/q")]).toEqual(["", ""])
    expect([queueProblem("a b"), queueProblem("https://h")]).not.toContain("")
    expect([objectProblem('{"a":1}'), objectProblem("")]).toEqual(["", ""])
    expect([objectProblem("[1]"), objectProblem("{")]).not.toContain("")
  })
  it("keep all that follows the first = of a variable", () => {
    expect(splitVariable("A=b=c==")).toEqual({ name: "A", value: "b=c==" })
    expect(splitVariable("A")).toBeUndefined()
  })
})

describe("form", () => {
  const job = {
    image: "alpine", command: "x", env: { A: "1=2" }, requirements: { gpus: 1, maxDuration: "9m" }, tags: ["a", "b"],
    shmSize: 1024, v: 3,
    inputs: { "i": { value: "1" } },
  }
  it("returns the job it came from, with members that it does not know", () => {
    expect(definitionOf(formOf(job), job)).toEqual(job)
    const built = { build: { dockerfile: "FROM a", buildArgs: ["A=1"], other: 1 }, command: "y" }
    expect(definitionOf(formOf(built), built)).toEqual(built)
  })
  it("survives a job whose members have wrong types", () => {
    const wrong = { image: 5, build: "x", env: [1], tags: { a: 1 }, requirements: null, command: { a: 1 } } as never
    expect(formOf(wrong).image).toBe("5")
  })
  it("gives image or build and never both", () => {
    const form = { ...formOf(job), source: "build" as const }
    form.build.dockerfile = "FROM x"
    expect(definitionOf(form, job)).toMatchObject({ build: { dockerfile: "FROM x" } })
    expect(definitionOf(form, job)).not.toHaveProperty("image")
    expect(form.image).toBe("alpine")
  })
  it("says what keeps it from being saved", () => {
    const form = formOf(undefined)
    expect(Object.keys(errorsOf(form))).toEqual(["image"])
    form.image = "alpine"
    form.env = [{ name: "", value: "" }]
    form.maxDuration = "soon"
    expect(Object.keys(errorsOf(form)).sort()).toEqual(["env-0", "maxDuration"])
  })
  it("follows changes from outside where the user changed nothing", () => {
    const before = formOf(job)
    const mine = { ...formOf(job), command: "mine" }
    const next = merged(before, mine, formOf({ ...job, command: "theirs", workdir: "/w" }))
    expect([next.command, next.workdir]).toEqual(["mine", "/w"])
  })
  it("takes a build or an image from outside, even if the unused source contains another job's", () => {
    const build = (dockerfile: string): JobForm => formOf({ build: { dockerfile } })
    const steps = [
      [build("FROM a"), formOf(job), build("FROM b")], [formOf(job), build("FROM a"), formOf({ image: "other" })],
    ] as const
    for (const [first, second, third] of steps) {
      const then = merged(first, first, second)
      expect(meansSame(then, second)).toBe(true)
      expect(meansSame(merged(second, then, third), third)).toBe(true)
    }
  })
  it("keeps what was typed into the source that is not used", () => {
    const before = formOf(job)
    const mine = formOf(job)
    mine.build.dockerfile = "FROM kept"
    expect(meansSame(before, mine)).toBe(true)
    expect(merged(before, mine, formOf({ ...job, command: "z" })).build.dockerfile).toBe("FROM kept")
  })
})

describe("changes", () => {
  it("of texts are told line by line, with their surroundings, while they are small", () => {
    const text = (change: string): string => Array.from({ length: 20 }, (_, n) => (n === 10 ? change : `line ${n}`)).join("\n")
    const [change] = changesOf({ value: text("old") }, { value: text("new\nmore") })
    expect(change?.lines?.map(({ kind, text }) => `${kind} ${text}`)).toEqual([
      "skipped …", "same line 8", "same line 9", "gone old", "new new", "new more", "same line 11", "same line 12", "skipped …",
    ])
    expect(lineDiff("a\nb\nc", "b\nc\nd")?.map(({ kind }) => kind)).toEqual(["gone", "same", "same", "new"])
    expect([lineDiff("one", "line"), lineDiff("x\n".repeat(5_000), "x\n"),
      lineDiff("x".repeat(100_000), "\n")]).toEqual([undefined, undefined, undefined])
    const worst = lineDiff(Array.from({ length: 1_000 }, (_, n) => `a${n}`).join("\n"),
      Array.from({ length: 1_000 }, (_, n) => `b${n}`).join("\n"))
    expect(worst?.length).toBe(201)
  })
  it("are told by path, with the place where long texts part", () => {
    const long = "x".repeat(5_000)
    expect(changesOf({ env: { A: "1" }, image: "a" }, { env: { A: "2", B: "" }, image: "a" })).toEqual([
      { path: "env.A", before: "1", after: "2" }, { path: "env.B", before: undefined, after: "" },
    ])
    const [change] =
      changesOf({ configFiles: { "a.py": { value: `${long}1` } } }, { configFiles: { "a.py": { value: `${long}2` } } })
    expect(change?.path).toBe('configFiles."a.py".value')
    expect(change?.after?.endsWith("2")).toBe(true)
    expect(change?.after?.length).toBeLessThan(200)
  })
  it("name uploaded files by their contents", () => {
    const [change] = changesOf({ value: `http://h/f/${"a".repeat(64)}` }, { value: `http://h/f/${"b".repeat(64)}` })
    expect([change?.before, change?.after]).toEqual(["contents aaaaaaaaaaaa…", "contents bbbbbbbbbbbb…"])
  })
  it("are bounded, and leave out hashes of inputs", () => {
    expect(changesOf({}, Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`k${n}`, n]))).length).toBe(CHANGES_MAX)
    expect(changesOf({ value: 1 }, { value: 1, hash: "x" })).toEqual([])
  })
})

describe("queue names", () => {
  it("cannot be guessed", () => {
    const names = new Set(Array.from({ length: 100 }, privateQueueName))
    expect(names.size).toBe(100)
    for (const name of names) expect(name).toMatch(/^q-[a-z2-9]{32}$/)
  })
  it("are masked, and quoted for a shell", () => {
    expect(maskedQueue("q-abcdefghijk")).toBe("q-ab••••")
    expect(maskedQueue("https://h/secretname")).toBe("https://h/secr••••")
    expect(maskedQueue("local")).toBe("local")
    expect(workerCommand("a'; rm -rf ~ #", "http://h", "http://h")).toBe(`asman worker run 'a'\\''; rm -rf ~ #' --api http://h`)
    expect(workerCommand("https://h/q1", "https://h", "https://h")).toBe("asman worker run q1 --api https://h")
    expect(workerCommand("local", "http://h", "http://localhost:8000")).toBe("asman worker run --mode local")
    expect(workerCommand("local", "http://h", "https://h")).toBe("asman worker run --mode local --allow-origin https://h")
    expect(quoted("$(x)")).toBe("'$(x)'")
  })
  it("say what will run where", () => {
    expect(placeOf({ isLocal: true, base: "http://localhost:8000" })).toEqual({
      label: "Local", text: "Jobs run on this machine, by the worker at localhost:8000." })
    const texts = ["http://localhost:8123", "https://host"].map((base) => placeOf({ isLocal: false, base }).text)
    expect(texts).toEqual(["this machine's server", "host"].map((where) =>
      `Jobs run on the machines whose workers serve this queue at ${where}.`))
  })
})

describe("share", () => {
  it("leaves out secrets always and the queue on request", () => {
    const address = "http://h/#?autostart=true&control=abc&job=xyz&queue=key&queueOverride=o"
    expect(shareLink(address, true)).toBe("http://h/#?autostart=true&job=xyz&queue=key&queueOverride=o")
    expect(shareLink(address, false)).toBe("http://h/#?autostart=true&job=xyz")
  })
})

describe("status", () => {
  it("has one action for each phase", () => {
    expect([actionOf("empty", false), actionOf("empty", true), actionOf("queued", true), actionOf("ready", false),
      actionOf("failed", false)])
      .toEqual(["set-up", "save-and-run", "stop", "run", "run-again"])
  })
  it("names the stage of an image, with its progress where that is known", () => {
    const stage = (kind: StageKind, done = 0, total = 0): Stage => ({ kind, what: "", done, total })
    expect([stageText(stage("clone")), stageProgress(stage("clone")), stageProgress(stage("pull", 3, 7)),
      stageProgress(stage("build", 2, 5))]).toEqual(["Fetching the build's files", "", "3 of 7 layers", "step 2 of 5"])
  })
})
