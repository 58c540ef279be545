/** A column of DataTable. */
export interface Column {
  key: string
  label: string
  /** The order of the API that its head asks for. */
  sort?: string
  firstOrder?: 'asc' | 'desc'
  align?: 'right'
  /** shrink: as narrow as its text; wide, mid: takes what is left, and truncates. */
  class?: 'shrink' | 'wide' | 'mid'
  hideLabel?: boolean
  /** Where it goes on a phone, where a row is a card: side stands to the right of the next line after the title. */
  phone?: 'title' | 'corner' | 'plain' | 'side' | 'hide'
  /** Whether the reader may take it away. */
  optional?: boolean
  /** Whether it is away until it is asked for: always, or where the window is not very wide. */
  off?: true | 'narrow'
}
