// Prints every row of a Parquet file as one line of JSON: bytes in base64, 64-bit integers and times as decimal strings.
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'

const file = await asyncBufferFromFile(process.argv[2])
const metadata = await parquetMetadataAsync(file)
const asNumber = ns => ns
const parsers = {
  timestampFromMilliseconds: asNumber, timestampFromMicroseconds: asNumber, timestampFromNanoseconds: asNumber,
  dateFromDays: asNumber, stringFromBytes: bytes => bytes && new TextDecoder('utf-8', { fatal: true }).decode(bytes),
}
console.log(JSON.stringify({ groups: metadata.row_groups.length, rows: Number(metadata.num_rows) }))
for (const row of await parquetReadObjects({ file, metadata, utf8: false, parsers })) {
  console.log(JSON.stringify(row, (_, v) => {
    if (typeof v === 'bigint') return v.toString()
    if (v instanceof Uint8Array) return { base64: Buffer.from(v).toString('base64') }
    return v
  }))
}
