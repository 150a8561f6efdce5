/** `x86_64-unknown-linux-gnu` as napi-rs names its packages: `linux-x64-gnu`. */
export function platform(target) {
  const [cpu, , system, abi] = target.split("-");
  const arch = { x86_64: "x64", aarch64: "arm64" }[cpu];
  const os = { linux: "linux", darwin: "darwin", windows: "win32" }[system];
  return { name: [os, arch, abi].filter(Boolean).join("-"), os, arch, abi };
}
