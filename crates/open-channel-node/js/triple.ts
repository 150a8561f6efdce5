/** The names that this machine's platform package may have, spelled as napi-rs spells them. */
export function triples(): string[] {
  const { platform, arch } = process;
  if (platform !== "linux") return [`${platform}-${arch}`];
  // Which C library it is takes a report of tens of milliseconds to learn; trying takes nothing.
  return [`linux-${arch}-gnu`, `linux-${arch}-musl`];
}

/** The one among them that is this machine's. */
export function triple(): string {
  const [first, second] = triples() as [string, string?];
  if (second === undefined) return first;
  const report = process.report?.getReport() as
    { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime ? first : second;
}
