/** Which of two records of one job counts: the server's or the one kept here. */
import type { Job } from "../wire.ts"

type Kind = "Q" | "R" | "Suc" | "TO" | "Err" | "Lost" | "Rep" | "Can" | "Del" | "Rm"

const COLUMNS: readonly Kind[] = ["Q", "R", "Suc", "TO", "Err", "Lost", "Rep", "Can", "Del", "Rm"]

/**
 * Rows are the server's record (A), columns ours (B). `e`: the earlier wins, a tie is B's. `l`: the later wins, a tie is A's.
 * `s`: A only when it is strictly later. `o`: B only when it is strictly later. `w`: the smaller worker id.
 */
const TABLE: Record<Kind, string> = {
  Q: "e B B B B A B s A A",
  R: "A w B B B B B B B A",
  Suc: "A A e A A A A B B B",
  TO: "A A B e B B A A B B",
  Err: "A A B A e A A A B B",
  Lost: "B A B B B B B B B B",
  Rep: "A A B B B A A A B B",
  Can: "o A A B B A A A B B",
  Del: "B A A A A A A A A B",
  Rm: "B B A A A A A A A e",
}

/** The record that counts, given the server's and ours. */
export function winner(server: Job, ours: Job): Job {
  const rule = TABLE[kindOf(server)].split(" ")[COLUMNS.indexOf(kindOf(ours))]
  switch (rule) {
    case "A": return server
    case "e": return server.time < ours.time ? server : ours
    case "s": return server.time > ours.time ? server : ours
    case "o": return ours.time > server.time ? ours : server
    case "w": return server.worker < ours.worker ? server : ours
    default: return ours
  }
}

function kindOf(job: Job): Kind {
  switch (job.state) {
    case "Queued": return "Q"
    case "Running": return "R"
    case "Removed": return "Rm"
    case "Finished":
  }
  switch (job.finishedReason) {
    case "Success": return "Suc"
    case "TimedOut": return "TO"
    case "WorkerLost": return "Lost"
    case "JobReplacedByClient": return "Rep"
    case "Cancelled": return "Can"
    case "Deleted": return "Del"
    default: return "Err"
  }
}
