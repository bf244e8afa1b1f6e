/** How much of an output is read for its preview. A file of any size costs no more. */
export const HEAD_BYTES: Readonly<Record<string, number>> = {
  text: 256 * 1024, binary: 4096, json: 2 * 1024 * 1024, csv: 512 * 1024, image: 32 * 1024 * 1024, svg: 4 * 1024 * 1024,
  audio: 64 * 1024 * 1024, video: 64 * 1024 * 1024, pdf: 32 * 1024 * 1024,
}
/** Text that is put into the page. */
export const TEXT_CHARS_MAX = 200_000
/** Outputs that are listed, and that are asked for their size. */
export const LISTED_MAX = 500
export const SIZES_MAX = 60
/** Children of one node of a JSON tree that are shown at once. */
export const CHILDREN_MAX = 100
/** All that one zip may hold; its format has no room for more than 4 GiB. */
export const ZIP_BYTES_MAX = 2 * 1024 * 1024 * 1024
