/** How much of an output is read for its preview, for a file of any size. */
export const HEAD_BYTES: Readonly<Record<string, number>> = {
  text: 256 * 1024, binary: 4096, json: 2 * 1024 * 1024, csv: 512 * 1024, image: 32 * 1024 * 1024, svg: 4 * 1024 * 1024,
  audio: 64 * 1024 * 1024, video: 64 * 1024 * 1024, pdf: 32 * 1024 * 1024,
}
/** Most text that is put into the page. */
export const TEXT_CHARS_MAX = 200_000
/** Most outputs that are listed, and most whose size is requested. */
export const LISTED_MAX = 500
export const SIZES_MAX = 60
/** Children of one node of a JSON tree that are shown at once. */
export const CHILDREN_MAX = 100
/** Most bytes of one zip; its format allows at most 4 GiB. */
export const ZIP_BYTES_MAX = 2 * 1024 * 1024 * 1024
