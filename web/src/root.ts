/** The address of this page's server: an absolute URL that ends in a slash. A proxy may serve it below any path. */
export const root: URL = new URL(rootOf(document), location.href)

function rootOf(page: Document): string {
  const said = page.querySelector<HTMLMetaElement>('meta[name="asman-root"]')?.content
  return said && /^(\.\/|(\.\.\/)+)$/.test(said) ? said : "./"
}

/** The path of this page below the root, without a leading slash: `""`, `j/<id>`, `q/<queue>`. */
export function pagePath(): string {
  return location.pathname.startsWith(root.pathname) ? location.pathname.slice(root.pathname.length) : ""
}
