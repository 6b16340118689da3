// Lists of shots as files: CSV with a header, or JSON lines.

/** Read a list; each row is an object by column. @param {string} text @param {string} name Of its file. */
export function rowsOf(text, name) {
  const clean = text.replace(/^\ufeff/, "");
  if (/\.(jsonl|ndjson)$/i.test(name)) {
    return clean.split("\n").map((line, index) => [line.trim(), index + 1]).filter(([line]) => line).map(([line, number]) => {
      try {
        return JSON.parse(line);
      } catch (error) {
        throw new Error(`Line ${number} is no JSON: ${error.message}`);
      }
    });
  }
  const [header = [], ...lines] = cellsOf(clean);
  return lines.map((cells, index) => {
    if (cells.length > header.length) throw new Error(`Row ${index + 1} has more cells than the header; put text with separators in quotes.`);
    return Object.fromEntries(cells.map((cell, at) => [header[at].trim(), cell.trim()]));
  });
}

/** Cells of a CSV file by row; commas, semicolons or tabs separate them, whichever the first line has most of. */
function cellsOf(text) {
  const first = text.split("\n", 1)[0], separator = [",", ";", "\t"].sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const rows = [];
  let row = [], cell = "", quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') cell += text[at += 1];
      else quoted = false;
    } else if (letter === '"' && !cell) quoted = true;
    else if (letter === separator) [row, cell] = [[...row, cell], ""];
    else if (letter === "\n") [row, cell] = [(rows.push([...row, cell]), []), ""];
    else if (letter !== "\r") cell += letter;
  }
  if (cell || row.length) rows.push([...row, cell]);
  return rows.filter((cells) => cells.some((one) => one.trim()));
}
