/** The content of a drop: files, and the files of folders with their paths. */
import { ENTRIES_MAX } from "../../definition/shape.ts"

/** Levels of nested folders that are read. */
const DEPTH_MAX = 32

/**
 * The files of a drop. If there are more files than a job takes, one more is returned, which shows that there are too many.
 * Unreadable files are left out. Call it while the event is handled, because the drop is empty afterwards.
 */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  const items = [...transfer.items].filter(({ kind }) => kind === "file")
  const roots = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }))
  const files: File[] = []
  for (const { entry, file } of roots) {
    if (entry?.isDirectory) await collect(entry as FileSystemDirectoryEntry, files, 1)
    else if (file) files.push(file)
  }
  return files
}

async function collect(folder: FileSystemDirectoryEntry, files: File[], depth: number): Promise<void> {
  if (depth > DEPTH_MAX) return
  const reader = folder.createReader()
  // Each call returns some entries of the folder; at its end a call returns none.
  for (let entries = await some(reader); entries.length > 0; entries = await some(reader)) {
    for (const entry of entries) {
      if (files.length > ENTRIES_MAX) return
      if (entry.isDirectory) await collect(entry as FileSystemDirectoryEntry, files, depth + 1)
      else await fileOf(entry as FileSystemFileEntry).then((file) => files.push(file), () => {})
    }
  }
}

function some(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  return new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => [])
}

/** The file of an entry with its whole path; its content is not read. */
async function fileOf(entry: FileSystemFileEntry): Promise<File> {
  const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject))
  return new File([file], entry.fullPath.replace(/^\/+/, ""), { type: file.type, lastModified: file.lastModified })
}
