// `--format`. What Go's text/template makes of the same, for the part of it that there is.
import { describe, expect, test } from 'vitest'
import { parseTemplate } from '../../src/cli/template.js'

const VALUE = {
  Name: '/box',
  State: { Status: 'exited', ExitCode: 3, Running: false },
  Config: { Env: ['A=1', 'B=2'], Labels: { b: 'two', a: 'one' }, Cmd: [] },
}

// pkg.go.dev/text/template
describe('templates', () => {
  test.each([
    ['plain', 'plain'],
    ['{{.State.Status}}', 'exited'],
    ['{{ .Name }}: {{.State.ExitCode}}', '/box: 3'],
    ['{{json .State}}', '{"Status":"exited","ExitCode":3,"Running":false}'],
    ['{{.Config.Env | json}}', '["A=1","B=2"]'],
    ['{{json .}}', JSON.stringify(VALUE)],
    ['{{.Missing}} {{.State.No.Such}}', '<no value> <no value>'],
    ['{{.Config.Env}} {{.Config.Labels}}', '[A=1 B=2] map[a:one b:two]'],
    ['{{range .Config.Env}}<{{.}}>{{end}}', '<A=1><B=2>'],
    ['{{range .Config.Cmd}}x{{else}}none{{end}}', 'none'],
    ['{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}', 'a=one;b=two;'],
    ['{{range $e := .Config.Env}}{{$e}} {{$.Name}} {{end}}', 'A=1 /box B=2 /box '],
    ['{{range $i, $e := .Config.Env}}{{$i}}{{end}}', '01'],
    ['{{if .State.Running}}up{{else}}down{{end}}', 'down'],
    ['{{if .Config.Env}}some{{end}}{{if .Config.Cmd}}more{{end}}', 'some'],
    ['{{if eq .State.Status "exited" "dead"}}over{{end}}', 'over'],
    ['{{if not .State.Running}}{{if .Name}}both{{end}}{{end}}', 'both'],
    ['{{index .Config.Labels "a"}} {{index .Config.Env 1}}', 'one B=2'],
    ['{{len .Config.Env}} {{join .Config.Env ","}}', '2 A=1,B=2'],
    ['{{.State.Status | upper}} {{lower "ABC"}}', 'EXITED abc'],
    ['{{range .Config.Env}}{{println .}}{{end}}', 'A=1\nB=2\n'],
    ['a {{- .Name -}} b', 'a/boxb'],
    ['{{"{{"}}', '{{'],
    ['{{/* nothing */}}x', 'x'],
    ['{{.constructor}}{{.State.toString}}', '<no value><no value>'],
  ])('%s', (template, want) => expect(parseTemplate(template)(VALUE)).toBe(want))

  test.each([
    '{{',
    '{{.A',
    '{{}}',
    '{{end}}',
    '{{if .A}}',
    '{{range .A}}x',
    '{{template "x"}}',
    '{{printf "%s" .A}}',
    '{{.A .B}}',
    '{{$x}}',
    '{{(len .A)}}',
  ])('%s is refused', (template) => expect(() => parseTemplate(template)(VALUE)).toThrow(/--format/))
})
