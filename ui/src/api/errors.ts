import { type Said, said } from '@/i18n/said'
import type { components } from './schema'

export type Problem = components['schemas']['Problem']

/** What is wrong with one field of a request. */
export interface FieldFault {
  location: string
  message: string
}

/** An answer of the API that is no success, or none at all (status 0). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  /** Which text the message is, where the code alone does not say it. */
  readonly reason: Omit<Said, 'message'> | undefined
  readonly retryAfter: number | undefined
  readonly requestId: string | undefined
  private readonly faults: NonNullable<Problem['errors']>

  constructor(status: number, problem: Partial<Problem>, retryAfter?: number) {
    super(problem.detail ?? problem.title ?? '')
    this.name = 'ApiError'
    this.status = status
    this.code = problem.code ?? (status === 0 ? 'unreachable' : '')
    this.reason = problem.reason
    this.faults = problem.errors ?? []
    this.retryAfter = retryAfter
    this.requestId = problem.requestId
  }

  /** What is wrong with single fields, in the reader's language. */
  get fields(): FieldFault[] {
    return this.faults.map((one) => ({ location: one.location, message: said(one) }))
  }

  /** The fault of one field, such as body.rule.prefixes[0], or of one below it. */
  field(location: string): string | undefined {
    return this.fields.find((one) => isWithin(one.location, location))?.message
  }
}

/** Whether a place is that one or below it, such as an element of a list or a line of a text. */
export function isWithin(place: string, of: string): boolean {
  return place === of || (place.startsWith(of) && '.[ '.includes(place.charAt(of.length)))
}

/** Makes an ApiError of whatever was thrown. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown
  return new ApiError(0, { detail: thrown instanceof Error ? thrown.message : String(thrown) })
}

/** Reads a problem out of an answer that is none of success. */
export async function readProblem(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get('Retry-After'))
  let problem: Partial<Problem> = {}
  try {
    problem = (await response.json()) as Partial<Problem>
  } catch {
    // Not from Sentinel: a proxy in front of it, most likely.
    problem = { title: response.statusText }
  }
  return new ApiError(response.status, problem, after > 0 ? after : undefined)
}
