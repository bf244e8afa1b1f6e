/** Small files of real kinds: what is simple is written here byte by byte, what is not is recorded by the browser. */
import { crc32, deflateSync } from "node:zlib"

const text = (word) => Buffer.from(word, "latin1")
const u16 = (n) => Buffer.from([n & 255, (n >> 8) & 255])
const u32 = (n) => Buffer.from([n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255])
const u32be = (n) => u32(n).reverse()

/** A grey image. */
export function png(width, height) {
  const chunk = (name, data) => {
    const body = Buffer.concat([text(name), data])
    return Buffer.concat([u32be(data.length), body, u32be(crc32(body))])
  }
  const head = Buffer.concat([u32be(width), u32be(height), Buffer.from([8, 0, 0, 0, 0])])
  const rows = Buffer.alloc((width + 1) * height, 128).map((byte, at) => (at % (width + 1) === 0 ? 0 : byte))
  const chunks = [chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]
  return Buffer.concat([text("\x89PNG\r\n\x1a\n"), ...chunks])
}

/** A tone of some seconds, 8 kHz, 8 bits. */
export function wav(seconds) {
  const rate = 8_000
  const data = Buffer.from(Array.from({ length: rate * seconds }, (_, n) => 128 + Math.round(60 * Math.sin(n / 3))))
  const format = Buffer.concat([u16(1), u16(1), u32(rate), u32(rate), u16(1), u16(8)])
  const head = Buffer.concat([text("RIFF"), u32(36 + data.length), text("WAVEfmt "), u32(16), format])
  return Buffer.concat([head, text("data"), u32(data.length), data])
}

/** A page of words, with so many bytes more that no reader looks at. */
export function pdf(words, nBytes) {
  const content = `BT /F1 36 Tf 60 700 Td (${words}) Tj ET`
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    `<< /Length ${nBytes} >>\nstream\n${"x".repeat(nBytes)}\nendstream`,
  ]
  let body = "%PDF-1.4\n"
  const places = objects.map((object, n) => {
    const at = body.length
    body += `${n + 1} 0 obj\n${object}\nendobj\n`
    return `${String(at).padStart(10, "0")} 00000 n \n`
  })
  const table = `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.join("")}`
  return text(`${body}${table}trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${body.length}\n%%EOF\n`)
}

/** Opus packets of 20 ms in an Ogg stream, one page a packet (RFC 3533, RFC 7845). */
export function oggOpus(packets) {
  const head = Buffer.concat([text("OpusHead"), Buffer.from([1, 1]), u16(0), u32(48_000), u16(0), Buffer.from([0])])
  const tags = Buffer.concat([text("OpusTags"), u32(4), text("test"), u32(0)])
  const all = [head, tags, ...packets]
  const last = all.length - 1
  return Buffer.concat(all.map((packet, n) => oggPage(packet, n, n === 0 ? 2 : n === last ? 4 : 0, Math.max(0, n - 1) * 960)))
}

function oggPage(packet, n, flags, granule) {
  const lacing = Buffer.from([...Array(Math.floor(packet.length / 255)).fill(255), packet.length % 255])
  const head = [text("OggS"), Buffer.from([0, flags]), u32(granule), u32(0), u32(7), u32(n), u32(0)]
  const page = Buffer.concat([...head, Buffer.from([lacing.length]), lacing, packet])
  u32(oggSum(page)).copy(page, 22)
  return page
}

/** The checksum of an Ogg page: CRC-32 of polynomial 04c11db7, from the highest bit, begun with 0. */
function oggSum(bytes) {
  let sum = 0
  for (const byte of bytes) {
    sum ^= byte << 24
    for (let bit = 0; bit < 8; bit++) sum = sum & 0x80000000 ? (sum << 1) ^ 0x04c11db7 : sum << 1
  }
  return sum >>> 0
}

/** Half a second of a moving picture as WebM and as MP4, and of a tone as WebM and as Opus packets, by the page's browser. */
export async function recordings(page) {
  const made = await page.evaluate(async () => {
    const base64 = async (blob) => new Promise((resolve) => {
      const reader = new FileReader()
      reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1))
      reader.readAsDataURL(blob)
    })
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 })
    const context = canvas.getContext("2d")
    const audio = new AudioContext()
    const tone = audio.createOscillator()
    const sink = audio.createMediaStreamDestination()
    tone.connect(sink)
    tone.start()
    const record = (stream, mimeType) => new Promise((resolve, reject) => {
      const pieces = []
      const recorder = new MediaRecorder(stream, { mimeType })
      let n = 0
      const draw = setInterval(() => {
        context.fillStyle = `hsl(${n * 20} 80% 50%)`
        context.fillRect(0, 0, 64, 48)
        if (++n === 20) recorder.stop()
      }, 30)
      recorder.ondataavailable = ({ data }) => pieces.push(data)
      recorder.onerror = ({ error }) => reject(error)
      recorder.onstop = () => (clearInterval(draw), resolve(base64(new Blob(pieces))))
      recorder.start()
    })
    const picture = () => canvas.captureStream(30)
    const packets = []
    const encoder = new AudioEncoder({ output: (chunk) => {
      const bytes = new Uint8Array(chunk.byteLength)
      chunk.copyTo(bytes)
      packets.push(base64(new Blob([bytes])))
    }, error: (error) => { throw error } })
    encoder.configure({ codec: "opus", sampleRate: 48_000, numberOfChannels: 1, bitrate: 32_000 })
    const data = Float32Array.from({ length: 24_000 }, (_, n) => Math.sin(n / 20) / 2)
    const shape = { format: "f32-planar", sampleRate: 48_000, numberOfFrames: 24_000, numberOfChannels: 1, timestamp: 0 }
    encoder.encode(new AudioData({ ...shape, data }))
    await encoder.flush()
    return {
      webm: await record(picture(), "video/webm;codecs=vp8"), mp4: await record(picture(), "video/mp4;codecs=vp9"),
      sound: await record(sink.stream, "audio/webm;codecs=opus"), packets: await Promise.all(packets),
    }
  })
  const bytes = (encoded) => Buffer.from(encoded, "base64")
  return { webm: bytes(made.webm), mp4: bytes(made.mp4), sound: bytes(made.sound), packets: made.packets.map(bytes) }
}
