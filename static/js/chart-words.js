// Numbers and times of charts as words.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
function bytes(value) {
  let at = 0;
  while (value >= 1024 && at < UNITS.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value >= 10 || at === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[at]}`;
}
function seconds(value) {
  if (value < 10) return `${Number(value.toFixed(1))} s`;
  if (value < 60) return `${Math.round(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${String(Math.round(value % 60)).padStart(2, "0")} s`;
  return `${Math.floor(value / 3600)} h ${String(Math.floor((value % 3600) / 60)).padStart(2, "0")} min`;
}
export const WORDS = {
  bytes,
  seconds,
  cores: (value) => `${Number(value.toFixed(2))} CPU`,
  count: (value) => value.toLocaleString("en-US", { maximumFractionDigits: 1 }),
};
export function moment(at, zone) {
  const form = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false, timeZone: zone };
  return new Intl.DateTimeFormat("en-GB", form).format(new Date(at * 1000));
}
