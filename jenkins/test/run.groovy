// The library's tests, under the Groovy that Jenkins has (2.4): JAVA_HOME=... groovy -cp jenkins/src:jenkins/test
// jenkins/test/run.groovy [IMAGE]. With an image, its real `dt` runs in a real container; without one, only the
// calls are looked at. The last line reads `N passed, N failed`.

int passed = 0
List<String> failed = []
File root = new File(getClass().protectionDomain.codeSource.location.path).parentFile.parentFile
String image = args ? args[0] : ''

Script libraryFor(File root, Steps steps) {
    Script script = new GroovyShell(getClass().classLoader).parse(new File(root, 'vars/distributedTesting.groovy'))
    steps.giveTo(script)
    return script
}

File workspaceWith(String content) {
    File directory = File.createTempDir()
    File tests = new File(directory, 'tests/integration')
    tests.mkdirs()
    new File(tests, 'test_a.py').setText(content, 'UTF-8')
    new File(directory, 'tests/stress').mkdirs()
    new File(directory, 'tests/stress/test_b.py').setText('def test_b():\n    pass\n', 'UTF-8')
    return directory
}

Steps recordingSteps(int status = 0, String dotenv = 'DT_RESULT_PASSED=3\nDT_RESULT_FAILED=0\nDT_RESULT_SKIPPED=1\n') {
    Steps steps = new Steps(workspaceWith('def test_a():\n    pass\n'))
    steps.run = { List<String> command, List<String> env ->
        steps.calls << ['env', env]
        String directory = env.find { it.startsWith('DT_OUTPUT_DIR=') } - 'DT_OUTPUT_DIR='
        File target = new File(steps.workspace, directory)
        target.mkdirs()
        new File(target, 'dt.env').setText(dotenv, 'UTF-8')
        return status
    }
    return steps
}

String errorOf(Closure body) {
    try {
        body()
    } catch (IllegalStateException | IllegalArgumentException problem) {
        return problem.message
    }
    return ''
}

Map<String, Closure> tests = [:]

tests['one type: one sh, junit, archive and a description'] = {
    Steps steps = recordingSteps()
    Map totals = libraryFor(root, steps).call(testDir: 'tests')
    assert steps.named('sh') == ['dt run']
    assert steps.named('env')[0].contains('DT_TEST_DIR=tests')
    assert steps.named('env')[0].contains('DT_PROVIDER=jenkins')
    assert steps.named('junit') == [[testResults: 'test_reports/test_report_*.xml', allowEmptyResults: true]]
    assert steps.named('archiveArtifacts')*.artifacts == ['test_reports/**,test_reports-parts/**']
    assert steps.named('dir') == ['test_reports'] // what an earlier build left is not read again
    assert steps.currentBuild.description == '3 passed, 0 failed, 1 skipped'
    assert totals[''].passed == '3'
}

tests['several types run in parallel, each in a directory of its own'] = {
    Steps steps = recordingSteps()
    libraryFor(root, steps).call(testTypes: ['integration', 'stress'])
    assert steps.named('env').collectMany { it }.findAll { it.startsWith('DT_OUTPUT_DIR') }.sort() ==
        ['DT_OUTPUT_DIR=test_reports/integration', 'DT_OUTPUT_DIR=test_reports/stress']
    assert steps.currentBuild.description ==
        'integration: 3 passed, 0 failed, 1 skipped; stress: 3 passed, 0 failed, 1 skipped'
}

tests['a value with quotes, blanks and a command in it reaches dt as it is'] = {
    Steps steps = recordingSteps()
    String hostile = '$(rm -rf /) "; echo \'x'
    libraryFor(root, steps).call(testPattern: hostile, testFiles: ['a b.py', 'c.py'])
    assert steps.named('env')[0].contains("DT_TEST_PATTERN=${hostile}".toString())
    assert steps.named('env')[0].contains('DT_TEST_FILES=a b.py\nc.py')
    assert steps.named('sh') == ['dt run']
}

tests['secrets come from credentials and are on no command line'] = {
    Steps steps = recordingSteps()
    steps.secrets.putAll(url: 'https://dt.example.org', key: 's3cret')
    libraryFor(root, steps).call(credentials: [coordinatorUrl: 'url', apiKey: 'key'])
    assert steps.named('withCredentials') == [['url', 'key']]
    assert steps.named('env')[0].containsAll(['COORDINATOR_URL=https://dt.example.org', 'COORDINATOR_API_KEY=s3cret'])
    assert !steps.named('sh').join().contains('s3cret')
}

tests['failed tests fail the build after everything was published'] = {
    Steps steps = recordingSteps(1, 'DT_RESULT_PASSED=2\nDT_RESULT_FAILED=1\nDT_RESULT_SKIPPED=0\n')
    String problem = errorOf { libraryFor(root, steps).call([:]) }
    assert problem == 'Distributed Testing: tests failed (exit code 1)'
    assert steps.named('junit').size() == 1
    assert steps.currentBuild.description == '2 passed, 1 failed, 0 skipped'
}

tests['failed tests make it unstable where that is asked for'] = {
    Steps steps = recordingSteps(1)
    libraryFor(root, steps).call(failOnError: false)
    assert steps.currentBuild.result == 'UNSTABLE'
}

tests['an incomplete run is never only unstable'] = {
    Steps steps = recordingSteps(6)
    String problem = errorOf { libraryFor(root, steps).call(failOnError: false) }
    assert problem.contains('incomplete')
}

tests['an option that does not exist is told with those that do'] = {
    String problem = errorOf { libraryFor(root, recordingSteps()).call(testdir: 'tests') }
    assert problem.startsWith('distributedTesting has no option testdir; expected one of')
    assert problem.contains('testDir')
}

tests['coverage is measured and recorded, and a missing plugin is only told'] = {
    for (Object asked : [true, 'coverage.xml']) {
        Steps steps = recordingSteps()
        libraryFor(root, steps).call(coverage: asked)
        assert steps.named('env')[0].contains('DT_COVERAGE=true')
        assert steps.named('recordCoverage')[0].tools[0].pattern == 'test_reports/coverage.xml'
    }
    Steps without = recordingSteps()
    without.hasCoverage = false
    libraryFor(root, without).call(coverage: true)
    assert without.named('echo')[0].contains('Coverage plugin is not installed')
}

tests['the image of Jenkins is none of dt, and test types may be text'] = {
    Steps steps = recordingSteps()
    libraryFor(root, steps).call(testTypes: 'integration, stress', isolationImage: 'python:3.13')
    assert steps.named('stage').sort() == ['integration', 'stress']
    assert steps.named('env').collectMany { it }.findAll { it.startsWith('DT_TEST_TYPE') }.sort() ==
        ['DT_TEST_TYPE=integration', 'DT_TEST_TYPE=stress']
    assert !org.distributedtesting.Options.environment([image: 'dt:1'], '').any { it.startsWith('DT_IMAGE') }
    assert org.distributedtesting.Options.environment([isolationImage: 'p'], '').contains('DT_IMAGE=p')
}

tests['shards run on agents of their own and are one report'] = {
    Steps steps = recordingSteps()
    libraryFor(root, steps).call(shards: 3, agent: 'docker', coverage: true)
    assert steps.named('node') == ['docker'] * 3
    assert steps.named('stage').sort() == ['tests 1/3', 'tests 2/3', 'tests 3/3']
    assert steps.named('env').collectMany { it }.findAll { it.startsWith('DT_SHARD') }.sort() ==
        ['DT_SHARD=1/3', 'DT_SHARD=2/3', 'DT_SHARD=3/3']
    assert steps.named('unstash').sort() == ['dt--1', 'dt--2', 'dt--3']
    assert steps.named('sh').last() == "dt report 'test_reports-parts'"
    assert steps.named('junit').size() == 1
}

tests['what failed in the build before runs again, where it can be fetched'] = {
    Steps steps = recordingSteps()
    steps.currentBuild.previousBuild = [number: 7]
    libraryFor(root, steps).call(rerunFailed: true)
    assert steps.named('copyArtifacts')*.selector == ['7']
    assert steps.named('env')[0].contains('DT_RERUN_FAILED=.dt_cache/earlier/all')
    Steps without = recordingSteps()
    without.currentBuild.previousBuild = [number: 7]
    without.hasCopyArtifact = false
    libraryFor(root, without).call(rerunFailed: true)
    assert without.named('echo')[0].startsWith('Everything runs: the plugin Copy Artifact is not installed')
}

tests['on Windows the command goes to bat'] = {
    Steps steps = recordingSteps()
    steps.isOnUnix = false
    libraryFor(root, steps).call([:])
    assert steps.named('bat') == ['dt run']
}

tests['every option in the help is one that the library takes'] = {
    String help = new File(root, 'vars/distributedTesting.txt').getText('UTF-8')
    List<String> named = (help =~ /(?m)^ {4}([a-z][A-Za-z]+) +\S/).collect { it[1] }
    List<String> known = Class.forName('org.distributedtesting.DtOptions').NAMES
    assert named.size() > 20
    assert named.sort(false) == known.sort(false)
}

if (image) {
    tests['scripted, in a real container: reports and totals come back'] = {
        Steps steps = new Steps(workspaceWith('def test_a():\n    assert 1 == 2\n'))
        File file = File.createTempFile('Jenkinsfile', '')
        file.text = new File(root, 'examples/Jenkinsfile.scripted').text.replaceAll(/ghcr[^']*/, image)
        new Pipeline(steps, libraryFor(root, steps)).run(file)
        assert steps.named('inside') == [[image, "--entrypoint=''"]]
        assert steps.currentBuild.description == '1 passed, 1 failed, 0 skipped'
        assert steps.currentBuild.result == 'UNSTABLE'
        assert steps.named('echo') == ['failed: 1']
        assert new File(steps.workspace, 'test_reports').listFiles().any { it.name ==~ /test_report_.*\.xml/ }
    }

    tests['declarative, parallel types in real containers'] = {
        Steps steps = new Steps(workspaceWith('def test_a():\n    pass\n'))
        File file = File.createTempFile('Jenkinsfile', '')
        String text = new File(root, 'examples/Jenkinsfile.declarative').text.replaceAll(/ghcr[^']*/, image)
        file.text = text.replaceAll(/(?s),\s+credentials: \[.*?\]/, '')
        new Pipeline(steps, libraryFor(root, steps)).run(file)
        assert steps.currentBuild.description ==
            'integration: 1 passed, 0 failed, 0 skipped; stress: 1 passed, 0 failed, 0 skipped'
    }
}

tests["the guide's Jenkinsfile archives and reports whatever happens"] = {
    Steps steps = new Steps(workspaceWith('def test_a():\n    pass\n'))
    steps.secrets.putAll('coordinator-url': 'https://dt.example.org', 'coordinator-api-key': 's3cret')
    steps.run = { List<String> command, List<String> env -> steps.calls << ['env', env]; return 1 }
    File file = new File(root, 'examples/Jenkinsfile.guide')
    String problem = errorOf { new Pipeline(steps, libraryFor(root, steps)).run(file) }
    assert problem == 'script returned exit code 1'
    assert steps.named('sh')[0].contains('python -m dt_action.cicd_integration')
    assert steps.named('env')[0].contains('COORDINATOR_URL=https://dt.example.org')
    assert steps.named('junit') == ['test_reports/test_report_*.xml']
    assert steps.named('archiveArtifacts')*.artifacts == ['test_reports/**']
}

tests.each { name, body ->
    try {
        body()
        passed += 1
        println "ok      ${name}"
    } catch (Throwable problem) {
        failed << name
        println "FAILED  ${name}\n${problem}"
    }
}
println "${passed} passed, ${failed.size()} failed"
System.exit(failed ? 1 : 0)
