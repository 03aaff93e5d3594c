/**
 * The steps of Jenkins that the library and the examples use, over real processes and a real workspace.
 *
 * `docker.image(...).inside` does what the Docker Pipeline plugin does: it starts the image with `cat`, as the agent's
 * user, with the workspace mounted, and runs each `sh` in there. Every step is remembered in `calls`.
 */
class Steps {

    final File workspace
    final List<List> calls = Collections.synchronizedList([])
    final Map<String, String> secrets = [:]
    final Map currentBuild = [description: null, result: null]
    boolean hasCoverage = true
    boolean isOnUnix = true
    boolean hasCopyArtifact = true
    final ThreadLocal<String> directory = new InheritableThreadLocal<String>()
    Closure run

    private final ThreadLocal<List<String>> environment = new InheritableThreadLocal<List<String>>() {
        @Override
        protected List<String> initialValue() { [] }
    }
    private final ThreadLocal<String> container = new InheritableThreadLocal<String>()

    Steps(File workspace) {
        this.workspace = workspace
        this.run = { List<String> command, List<String> env -> start(command, env) }
    }

    /** Give a script or a delegate every step. */
    void giveTo(Object target) {
        def steps = this
        target.metaClass.with {
            sh = { Object arguments -> steps.shell('sh', arguments) }
            bat = { Object arguments -> steps.shell('bat', arguments) }
            stage = { String name, Closure body -> steps.note('stage', name); body() }
            node = { String name, Closure body -> steps.note('node', name); body() }
            dir = { String path, Closure body -> steps.inDirectory(path, body) }
            deleteDir = { -> new File(steps.workspace, steps.directory.get()).deleteDir() }
            stash = { Map arguments -> steps.note('stash', arguments.name) }
            unstash = { String name -> steps.unstash(name) }
            copyArtifacts = { Map arguments -> steps.copyArtifacts(arguments) }
            specific = { String number -> number }
            getEnv = { -> [JOB_NAME: 'app'] }
            isUnix = { -> steps.isOnUnix }
            withEnv = { List env, Closure body -> steps.withEnv(env, body) }
            withCredentials = { List bindings, Closure body -> steps.withCredentials(bindings, body) }
            string = { Map arguments -> arguments }
            credentials = { String id -> steps.secret(id) }
            junit = { Object arguments -> steps.note('junit', arguments) }
            archiveArtifacts = { Map arguments -> steps.note('archiveArtifacts', arguments) }
            recordCoverage = { Map arguments -> steps.coverage(arguments) }
            fileExists = { String path -> new File(steps.workspace, path).exists() }
            readFile = { String path -> new File(steps.workspace, path).getText('UTF-8') }
            echo = { Object text -> steps.note('echo', text.toString()) }
            unstable = { String text -> steps.note('unstable', text); steps.currentBuild.result = 'UNSTABLE' }
            error = { String text -> steps.note('error', text); throw new IllegalStateException(text) }
            checkout = { Object ignored -> steps.note('checkout', null) }
            parallel = { Map branches -> steps.parallel(branches) }
            getDocker = { ->
                [image: { String name -> [inside: { String args, Closure body -> steps.inside(name, args, body) }] }]
            }
            getCurrentBuild = { -> steps.currentBuild }
            getScm = { -> 'scm' }
        }
    }

    List named(String step) { calls.findAll { it[0] == step }.collect { it[1] } }

    Object note(String step, Object arguments) {
        calls << [step, arguments]
        return null
    }

    Object shell(String step, Object arguments) {
        Map options = arguments instanceof Map ? arguments : [script: arguments.toString()]
        note(step, options.script)
        List<String> env = new ArrayList<String>(environment.get())
        List<String> command = ['bash', '-xe', '-c', options.script.toString()]
        if (container.get()) {
            List<String> flags = env.collectMany { ['-e', it] }
            command = ['docker', 'exec'] + flags + [container.get()] + command
        }
        int status = run(command, env)
        if (options.returnStatus) {
            return status
        }
        if (status != 0) {
            throw new IllegalStateException("script returned exit code ${status}")
        }
        return null
    }

    private int start(List<String> command, List<String> env) {
        ProcessBuilder builder = new ProcessBuilder(command.collect { it.toString() })
        builder.directory(workspace).redirectErrorStream(true)
        env.each { String pair ->
            int sign = pair.indexOf('=')
            builder.environment().put(pair.substring(0, sign), pair.substring(sign + 1))
        }
        Process process = builder.start()
        process.inputStream.eachLine { println "    | ${it}" }
        return process.waitFor()
    }

    Object withEnv(List env, Closure body) {
        List<String> before = environment.get()
        environment.set(before + env.collect { it.toString() })
        try {
            return body()
        } finally {
            environment.set(before)
        }
    }

    Object withCredentials(List bindings, Closure body) {
        note('withCredentials', bindings.collect { it.credentialsId })
        return withEnv(bindings.collect { "${it.variable}=${secret(it.credentialsId)}" }, body)
    }

    String secret(String id) {
        if (!secrets.containsKey(id)) {
            throw new IllegalStateException("Could not find credentials entry with ID '${id}'")
        }
        return secrets[id]
    }

    Object inDirectory(String path, Closure body) {
        note('dir', path)
        directory.set(path)
        return body()
    }

    /** Stashes lie in the one workspace already; one that was never made is an AbortException, an IOException. */
    Object unstash(String name) {
        note('unstash', name)
        if (!named('stash').contains(name)) {
            throw new IOException("No such saved stash '${name}'")
        }
        return null
    }

    Object copyArtifacts(Map arguments) {
        if (!hasCopyArtifact) {
            throw new NoSuchMethodError("No such DSL method 'copyArtifacts' found")
        }
        return note('copyArtifacts', arguments)
    }

    Object coverage(Map arguments) {
        if (!hasCoverage) {
            throw new NoSuchMethodError("No such DSL method 'recordCoverage' found")
        }
        return note('recordCoverage', arguments)
    }

    Object parallel(Map branches) {
        List<Throwable> problems = Collections.synchronizedList([])
        branches.collect { name, body ->
            Thread.start {
                try {
                    body()
                } catch (Throwable problem) {
                    problems << problem
                }
            }
        }*.join()
        if (problems) {
            throw problems[0]
        }
        return null
    }

    Object inside(String image, String arguments, Closure body) {
        note('inside', [image, arguments])
        List<String> user = [['id', '-u'].execute().text.trim(), ['id', '-g'].execute().text.trim()]
        List<String> words = arguments.tokenize(' ').collect { it == "--entrypoint=''" ? '--entrypoint=' : it }
        List<String> command = ['docker', 'run', '-t', '-d', '-u', user.join(':'), '-w', workspace.path, '-v',
                                "${workspace.path}:${workspace.path}:rw,z".toString()] + words + [image, 'cat']
        Process process = new ProcessBuilder(command).start()
        String id = process.inputStream.text.trim()
        if (process.waitFor() != 0) {
            throw new IllegalStateException("docker run: ${process.errorStream.text}")
        }
        container.set(id)
        try {
            return body()
        } finally {
            container.remove()
            new ProcessBuilder(['docker', 'rm', '-f', id]).start().waitFor()
        }
    }

}
