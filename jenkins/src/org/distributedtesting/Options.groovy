package org.distributedtesting

/**
 * What a Jenkinsfile asked for, as environment variables of dt, so that no value is ever read by a shell.
 *
 * Jenkins rewrites this code to run in steps that survive a restart, and that breaks in constructors, getters and the
 * closures of collect and findAll. So there are static methods and loops here, and nothing else.
 */
class Options implements Serializable {

    private static final long serialVersionUID = 1L

    static final List<String> OF_LIBRARY = [
        'image', 'dockerArgs', 'testTypes', 'shards', 'agent', 'credentials', 'coverage', 'rerunFailed', 'failOnError',
        'isolationImage', 'label', 'command',
    ]

    /** Raises IllegalArgumentException for an option that does not exist. */
    static void check(Map given) {
        List<String> known = OF_LIBRARY + DtOptions.NAMES
        List<String> unknown = []
        for (Object name : given.keySet()) {
            if (!known.contains(name.toString())) {
                unknown.add(name.toString())
            }
        }
        if (unknown.size() > 0) {
            throw new IllegalArgumentException('distributedTesting has no option ' + unknown.join(', ') +
                '; expected one of ' + known.join(', '))
        }
    }

    /** The test types to run, each on its own; one empty type where none is named. Text may name several. */
    static List<String> testTypes(Map given) {
        Object named = given.testTypes ?: ['']
        List<String> types = []
        for (Object type : (named instanceof Collection ? named : named.toString().split('[\\s,]+'))) {
            types.add(type.toString())
        }
        return types
    }

    static int shards(Map given) {
        return given.shards ? given.shards.toString().toInteger() : 1
    }

    /** The file of Cobertura that is shown; empty where coverage is not measured. A name counts as `true`. */
    static String coverageFile(Map given) {
        String asked = given.coverage == null ? 'false' : given.coverage.toString()
        if (asked == 'false') {
            return ''
        }
        return asked == 'true' ? 'coverage.xml' : asked
    }

    /** Where the reports of a test type go: each has a directory of its own, since they run in one workspace. */
    static String outputDir(Map given, String testType) {
        String base = given.outputDir ?: 'test_reports'
        return testType ? base + '/' + testType.replaceAll('[^A-Za-z0-9._-]', '-') : base
    }

    /** Where those of its shards go, each in one of its own. */
    static String partsDir(Map given, String testType) {
        return outputDir(given, testType) + '-parts'
    }

    /** Where the reports of the build before are put. */
    static String earlierDir(String testType) {
        return '.dt_cache/earlier/' + (testType ? testType.replaceAll('[^A-Za-z0-9._-]', '-') : 'all')
    }

    /** `NAME=value` for withEnv. A list is put on lines, which is how dt takes values that hold blanks. */
    static List<String> environment(Map given, String testType, int shard = 0) {
        List<String> variables = ['DT_PROVIDER=jenkins']
        for (String name : DtOptions.NAMES) {
            boolean isSetHere = name == 'outputDir' || name == 'testType'
            if (given[name] != null && !isSetHere) {
                variables.add(variable(name) + '=' + text(given[name]))
            }
        }
        if (testType || given.testType) {
            variables.add('DT_TEST_TYPE=' + (testType ?: text(given.testType)))
        }
        if (given.label || testType) {
            variables.add('DT_LABEL=' + (given.label ?: testType))
        }
        if (given.isolationImage) {
            variables.add('DT_IMAGE=' + given.isolationImage)
        }
        if (coverageFile(given)) {
            variables.add('DT_COVERAGE=true')
        }
        if (given.rerunFailed) {
            variables.add('DT_RERUN_FAILED=' + earlierDir(testType))
        }
        return variables + ofShard(given, testType, shard)
    }

    private static List<String> ofShard(Map given, String testType, int shard) {
        if (shard == 0) {
            return ['DT_OUTPUT_DIR=' + outputDir(given, testType)]
        }
        return ['DT_PART=true', 'DT_SHARD=' + shard + '/' + shards(given),
            'DT_OUTPUT_DIR=' + partsDir(given, testType) + '/' + shard]
    }

    /** `testDir` -> `DT_TEST_DIR` */
    static String variable(String name) {
        return 'DT_' + name.replaceAll('([A-Z])', '_$1').toUpperCase()
    }

    private static String text(Object value) {
        return value instanceof Collection ? value.join('\n') : value.toString()
    }

}
