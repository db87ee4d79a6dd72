// The database of this process. The client is generated from prisma/schema.prisma.
import { PrismaClient } from '@desk/client'

export type Database = PrismaClient

export function createDatabase(): Database {
  return new PrismaClient()
}
