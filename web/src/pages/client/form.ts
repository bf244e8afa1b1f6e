/**
 * The settings form as plain texts, and its conversion from and to a job. Members that the form does not know stay in the job;
 * empty members are left out, so that an unchanged form does not change the job's id.
 */
import type { Build, Definition, Requirements } from "../../wire.ts"
import { cpusProblem, durationProblem, envNameProblem, gpusProblem, imageProblem, memoryProblem, sizeProblem } from "./validate.ts"

const BUILD_TEXTS = ["context", "buildContext", "filename", "target", "dockerfile", "platform"] as const
/** Most variables of the form. */
export const VARIABLES_MAX = 1_000
const JOB_TEXTS = ["command", "entrypoint", "workdir"] as const

export interface Variable { name: string; value: string }
export interface JobForm {
  source: "image" | "build"
  image: string
  build: Record<(typeof BUILD_TEXTS)[number], string> & { args: string }
  command: string
  entrypoint: string
  workdir: string
  shmSize: string
  cpus: string
  memory: string
  gpus: string
  tags: string
  maxDuration: string
  env: Variable[]
}
export type Errors = Readonly<Record<string, string>>

/** The form of a job; empty without a job. The job is not checked yet, so its members may have any type. */
export function formOf(job: Definition | undefined): JobForm {
  const build = asObject(job?.build)
  const needs = asObject(job?.requirements)
  const isBuild = job?.build !== undefined && job.image === undefined
  return {
    source: isBuild ? "build" : "image",
    image: text(job?.image),
    build: {
      context: text(build["context"]), buildContext: text(build["buildContext"]), filename: text(build["filename"]),
      target: text(build["target"]), dockerfile: text(build["dockerfile"]), platform: text(build["platform"]),
      args: list(build["buildArgs"]).join("\n"),
    },
    command: text(job?.command), entrypoint: text(job?.entrypoint), workdir: text(job?.workdir), shmSize: text(job?.shmSize),
    cpus: text(needs["cpus"]), memory: text(needs["memory"]), gpus: text(needs["gpus"]),
    tags: list(job?.tags).join(", "), maxDuration: text(job?.maxDuration),
    env: Object.entries(asObject(job?.env)).map(([name, value]) => ({ name, value: text(value) })),
  }
}

/** A form that this page or an older version stored; undefined if it is not a form. */
export function asForm(value: unknown): JobForm | undefined {
  const form = asObject(value)
  const isLike = (found: unknown, empty: unknown): boolean =>
    typeof empty === "string" ? typeof found === "string"
      : Object.entries(asObject(empty)).every(([key, part]) => isLike(asObject(found)[key], part))
  const env = Array.isArray(form["env"]) ? form["env"].slice(0, VARIABLES_MAX) : undefined
  const isSound = isLike(form, formOf(undefined)) && ["image", "build"].includes(form["source"] as string)
    && env?.every((variable) => isLike(variable, { name: "", value: "" }))
  return isSound && env ? ({ ...formOf(undefined), ...form, env } as JobForm) : undefined
}

/** The job of a form without errors, based on the job that it came from. */
export function definitionOf(form: JobForm, job: Definition | undefined): Definition {
  const made: Definition = { ...job }
  delete made.image
  delete made.build
  if (form.source === "image") put(made, "image", form.image)
  else made.build = buildOf(form, job?.build)
  for (const name of JOB_TEXTS) put(made, name, form[name])
  put(made, "shmSize", sameAs(job?.shmSize, form.shmSize))
  put(made, "maxDuration", sameAs(job?.maxDuration, form.maxDuration))
  put(made, "tags", form.tags.split(",").map((tag) => tag.trim()).filter((tag) => tag !== ""))
  put(made, "env", Object.fromEntries(form.env.map(({ name, value }) => [name, value])))
  put(made, "requirements", requirementsOf(form, job?.requirements))
  return made
}

function buildOf(form: JobForm, before: Build | undefined): Build {
  const made: Build = { ...before }
  for (const name of BUILD_TEXTS) put(made, name, form.build[name])
  put(made, "buildArgs", form.build.args.split("\n").map((arg) => arg.trim()).filter((arg) => arg !== ""))
  return made
}

function requirementsOf(form: JobForm, before: Requirements | undefined): Requirements {
  const made: Requirements = { ...before }
  put(made, "cpus", form.cpus === "" ? undefined : Number(form.cpus))
  put(made, "gpus", form.gpus === "" ? undefined : Number(form.gpus))
  put(made, "memory", sameAs(before?.memory, form.memory))
  return made
}

/** The problems of a form, by field. A completely empty form may be saved: it means no job. */
export function errorsOf(form: JobForm): Errors {
  const found: Record<string, string> = {}
  const check = (field: string, problem: string): void => {
    if (problem !== "") found[field] = problem
  }
  if (form.source === "image") check("image", imageProblem(form.image))
  else if (form.build.context === "" && form.build.dockerfile === "") check("context",
    "Name a repository, or write a Dockerfile.")
  check("shmSize", sizeProblem(form.shmSize))
  check("memory", memoryProblem(form.memory))
  check("cpus", cpusProblem(form.cpus))
  check("gpus", gpusProblem(form.gpus))
  check("maxDuration", durationProblem(form.maxDuration))
  for (const [at, { name }] of form.env.entries()) {
    check(`env-${at}`, envNameProblem(name, form.env.filter((_, other) => other !== at).map((other) => other.name)))
  }
  for (const arg of form.build.args.split("\n")) if (arg.trim() !== "" && !arg.includes("=")) check("args",
    "Write each argument as NAME=value.")
  return found
}

/**
 * The form after the job changed elsewhere: a field without edits gets the new value, an edited field stays. `before` is the last
 * saved form, `mine` the form on screen, `theirs` the form of the job now.
 */
export function merged(before: JobForm, mine: JobForm, theirs: JobForm): JobForm {
  const out = structuredClone(theirs)
  // Text in a source that is not chosen comes from an earlier job, so it does not count as an edit of this one.
  const isEdited = (source: JobForm["source"]): boolean => mine.source === source || mine.source !== before.source
  for (const key of Object.keys(mine) as (keyof JobForm)[]) {
    if (key === "build") {
      for (const field of Object.keys(mine.build) as (keyof JobForm["build"])[]) {
        // The source that is not chosen is not part of the job, so its text stays.
        const isKept = isEdited("build") && mine.build[field] !== before.build[field]
        if (isKept || theirs.source === "image") out.build[field] = mine.build[field]
      }
    } else if (key === "image") {
      if (theirs.source === "build" || (isEdited("image") && mine.image !== before.image)) out.image = mine.image
    } else if (!isSame(mine[key], before[key])) Object.assign(out, { [key]: structuredClone(mine[key]) })
  }
  return out
}

/** Whether two forms, or two fields of them, are equal. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** Whether two forms would be saved as the same job. The fields of the source that is not chosen do not count. */
export function meansSame(a: JobForm, b: JobForm): boolean {
  return isSame(definitionOf(a, undefined), definitionOf(b, undefined)) && a.source === b.source
}

function put<T extends object, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  const isEmpty = value === undefined || value === ""
    || (typeof value === "object" && value !== null && Object.keys(value).length === 0)
  if (isEmpty) delete target[key]
  else target[key] = value as T[K]
}

/** A number stays a number if its text was not changed, because its type counts for the job's id. */
function sameAs(before: string | number | undefined, now: string): string | number | undefined {
  return before !== undefined && String(before) === now ? before : now
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : ""
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string").slice(0, 1_000) : []
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}
}
