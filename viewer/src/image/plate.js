// A well plate as its metadata have it: rows, columns, wells, and the fields of a well.
// https://ngff.openmicroscopy.org/0.5/index.html#plate-md
import { openGroup } from "../zarr/open.js";

/** {name, rows, columns, wells: [{path, name, row, column}]} of what the server's list names. Throws an Error that says what is wrong. */
export async function openPlate({ name, url, zarr_format: format }) {
  const attributes = await openGroup(new URL(url, location.href).href, format);
  const plate = (attributes.ome ?? attributes).plate ?? attributes.plate;
  const [rows, columns] = [plate?.rows, plate?.columns].map((all) => all?.map((one) => String(one.name)));
  if (!rows?.length || !columns?.length || !Array.isArray(plate.wells)) throw new Error("its metadata names no rows, columns and wells");
  const wells = plate.wells.map(({ path, rowIndex: row, columnIndex: column }) => ({ path, row, column, name: `${rows[row]}${columns[column]}` }));
  if (wells.some(({ row, column, path }) => !(row in rows) || !(column in columns) || !path)) throw new Error("a well lies outside its rows and columns");
  return { name: String(plate.name ?? name), rows, columns, wells };
}

/** The paths of the fields of a well, below the plate: ["B/3/0", "B/3/1"]. */
export async function fieldsOf({ url, zarr_format: format }, { path, name }) {
  const attributes = await openGroup(`${new URL(url, location.href).href}/${path}`, format);
  const well = (attributes.ome ?? attributes).well ?? attributes.well;
  const images = well?.images?.map((image) => `${path}/${image.path}`) ?? [];
  if (!images.length) throw new Error(`well ${name} has no images`);
  return images;
}
