; The installer of Pilot's agent for Windows. `deploy/windows/build.py` defines what is named in
; capitals and writes the list of files.
;
; The agent lies in $INSTDIR\app, a folder that is replaced as a whole: a new version is unpacked
; beside it and has to start once before it takes its place. When its service does not start, the
; folder from before comes back. Services, rights and configuration are the agent's own business,
; which steps.py calls for each of them.

Unicode true
Target amd64-unicode
!ifdef FAST
    SetCompress off
!else
    SetCompressor /SOLID lzma
    SetCompressorDictSize 32
!endif
!ifdef SIGN
    !uninstfinalize '${SIGN}'
!endif
; Two builds are to be the same: no file brings the time at which it was made.
SetDateSave off
ManifestDPIAware true
RequestExecutionLevel admin

!include MUI2.nsh
!include FileFunc.nsh
!include LogicLib.nsh
!include WinVer.nsh
!include x64.nsh

!define UNINSTALL_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\pilot-agent"

; What a deployment tool reads; docs/deployment.md lists them. 1 (cancelled) and 2 are NSIS's own.
!define CODE_UNSUITABLE 3
!define CODE_CONFIGURATION 4
!define CODE_START 5
!define CODE_FILES 6

Name "Pilot Agent"
OutFile "${OUTPUT}"
InstallDir "$PROGRAMFILES64\Pilot Agent"
InstallDirRegKey HKLM "${UNINSTALL_KEY}" InstallLocation
BrandingText "Pilot Agent ${VERSION}"

VIProductVersion "${NUMERIC_VERSION}"
VIFileVersion "${NUMERIC_VERSION}"
VIAddVersionKey ProductName "Pilot Agent"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey FileDescription "Installer of Pilot's agent"
VIAddVersionKey CompanyName "${PUBLISHER}"
VIAddVersionKey LegalCopyright "MIT License"

Var Settings     ; the folder of configuration and state
Var Config       ; the configuration that the service reads
Var Prepared     ; /CONFIG: a configuration to take
Var Broker       ; /BROKER
Var Proposed     ; the same where a page asks for it
Var Username     ; /USERNAME
Var PasswordFile ; /PASSWORD_FILE
Var Untested     ; /UNTESTED: the broker need not answer now
Var Purge        ; /PURGE: the removal deletes configuration, keys and history
Var LogFile      ; /LOG
Var Before       ; whether there was an agent before
Var Held         ; app.new, open: nothing else can take its place
Var Code         ; the exit code of the last command
Var Said         ; what it said

!define MUI_ABORTWARNING
!define MUI_WELCOMEPAGE_TEXT "$(TEXT_WELCOME)"
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_LICENSE "${LICENSE}"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!include "${SOURCE}\broker-page.nsh"
Page custom BrokerPage BrokerPageLeave
!include "${SOURCE}\pairing-page.nsh"
Page custom PairingPage PairingPageLeave
!insertmacro MUI_PAGE_FINISH

!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES

!insertmacro MUI_LANGUAGE "English"
!insertmacro MUI_LANGUAGE "French"
!include "${SOURCE}\texts.nsh"

; The system and administrators change it, users read it, and no rule of the folder above counts.
!define PROGRAM_RULES "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"

; --- What both halves need ----------------------------------------------------------------------

!macro Prepare
    ; One agent for the whole machine.
    SetShellVarContext all
    SetRegView 64
    InitPluginsDir
    File "/oname=$PLUGINSDIR\steps.py" "${SOURCE}\steps.py"
    StrCpy $Settings "$APPDATA\pilot-agent"
    StrCpy $Config "$Settings\config.yaml"
    StrCpy $LogFile "$TEMP\pilot-agent-setup.log"
    ${GetParameters} $R0
    !insertmacro Option "/LOG=" $LogFile
    !insertmacro Option "/PURGE=" $Purge
!macroend

!macro Option NAME VARIABLE
    ClearErrors
    ${GetOptions} $R0 "${NAME}" $R1
    ${IfNot} ${Errors}
        StrCpy ${VARIABLE} $R1
    ${EndIf}
!macroend

; Has steps.py do something with the Python of a folder; $Code is "0" when it is done.
!macro Step FOLDER ARGUMENTS
    SetDetailsPrint none
    Delete "$PLUGINSDIR\said.txt"
    SetDetailsPrint lastused
    ; To the stack, since Python under Wine writes into a pipe and into nothing else.
    nsExec::ExecToStack /TIMEOUT=300000 `"${FOLDER}\python.exe" -I "$PLUGINSDIR\steps.py" "$LogFile" "$PLUGINSDIR\said.txt" ${ARGUMENTS}`
    Pop $Code
    Pop $Said
    StrCpy $Said ""
    ClearErrors
    FileOpen $R9 "$PLUGINSDIR\said.txt" r
    ${IfNot} ${Errors}
        FileReadUTF16LE $R9 $Said
        FileClose $R9
    ${EndIf}
    ClearErrors
!macroend
!define Step "!insertmacro Step"

; Ends the program for a reason that a person reads, or a deployment tool by its number.
!macro Refuse CODE TEXT
    SetErrorLevel ${CODE}
    IfSilent +2
    MessageBox MB_OK|MB_ICONSTOP "${TEXT}"
    DetailPrint "${TEXT}"
    Quit
!macroend

; A folder that was in use a moment ago may be held for a while, by a scanner of viruses for one.
!macro Move FROM TO
    StrCpy $R8 20
    ${Do}
        ClearErrors
        Rename "${FROM}" "${TO}"
        ${IfNot} ${Errors}
            ${ExitDo}
        ${EndIf}
        Sleep 500
        IntOp $R8 $R8 - 1
    ${LoopUntil} $R8 == 0
!macroend

; Ends an installation that has not touched what was there.
!macro GiveUp CODE TEXT
    Push "${TEXT}"
    Push ${CODE}
    Call GiveUp
!macroend

; Ends one that has: what was there comes back, and runs.
!macro GoBack CODE TEXT
    Push "${TEXT}"
    Push ${CODE}
    Call GoBack
!macroend

; --- Installing ---------------------------------------------------------------------------------

Function .onInit
    !insertmacro Prepare
    !insertmacro Option "/CONFIG=" $Prepared
    !insertmacro Option "/BROKER=" $Broker
    !insertmacro Option "/USERNAME=" $Username
    !insertmacro Option "/PASSWORD_FILE=" $PasswordFile
    !insertmacro Option "/UNTESTED=" $Untested
    ${IfNot} ${RunningX64}
    ${OrIfNot} ${AtLeastWin10}
        !insertmacro Refuse ${CODE_UNSUITABLE} "$(TEXT_UNSUITABLE)"
    ${EndIf}
    ${If} $Prepared != ""
    ${AndIfNot} ${FileExists} "$Prepared"
        !insertmacro Refuse ${CODE_CONFIGURATION} "$(TEXT_NO_FILE) $Prepared"
    ${EndIf}
    ${If} $Prepared != ""
        StrCpy $Broker ""
    ${EndIf}
    ${If} $PasswordFile != ""
    ${AndIfNot} ${FileExists} "$PasswordFile"
        !insertmacro Refuse ${CODE_CONFIGURATION} "$(TEXT_NO_FILE) $PasswordFile"
    ${EndIf}
FunctionEnd

Section
    ${IfNot} ${Silent}
        ; The page after this one tries and writes it.
        StrCpy $Proposed $Broker
        StrCpy $Broker ""
    ${EndIf}
    ; An installation that lost power between two renames left the agent under the other name.
    ${If} ${FileExists} "$INSTDIR\app.old\python.exe"
    ${AndIfNot} ${FileExists} "$INSTDIR\app\python.exe"
        Rename "$INSTDIR\app.old" "$INSTDIR\app"
    ${EndIf}
    RMDir /r "$INSTDIR\app.new"
    RMDir /r "$INSTDIR\app.old"
    StrCpy $Before 0
    ${If} ${FileExists} "$INSTDIR\app\python.exe"
        StrCpy $Before 1
    ${EndIf}

    DetailPrint "$(TEXT_UNPACKING)"
    Call MakeNew
    ${If} ${Errors}
        !insertmacro GiveUp ${CODE_FILES} "$(TEXT_FILES)"
    ${EndIf}
    ; A line for each of many files takes longer than the files.
    SetDetailsPrint none
    ClearErrors
    !include "${FILES}"
    SetDetailsPrint both
    ${If} ${Errors}
        !insertmacro GiveUp ${CODE_FILES} "$(TEXT_FILES)"
    ${EndIf}
    SetOutPath "$INSTDIR"

    DetailPrint "$(TEXT_CHECKING)"
    ${Step} "$INSTDIR\app.new" 'check'
    ${If} $Code != 0
        !insertmacro GiveUp ${CODE_START} "$(TEXT_DOES_NOT_START) $Said"
    ${EndIf}
    Call TryConfiguration
    ${If} $Code != 0
        !insertmacro GiveUp ${CODE_CONFIGURATION} "$Said"
    ${EndIf}

    Call LetGo
    ; Nothing of an agent that runs was touched so far.
    ${If} $Before == 1
        DetailPrint "$(TEXT_STOPPING)"
        ${Step} "$INSTDIR\app.new" 'stop "$INSTDIR\app"'
        !insertmacro Move "$INSTDIR\app" "$INSTDIR\app.old"
        ${If} ${Errors}
            Call StartService
            !insertmacro GiveUp ${CODE_FILES} "$(TEXT_IN_USE)"
        ${EndIf}
    ${EndIf}
    !insertmacro Move "$INSTDIR\app.new" "$INSTDIR\app"
    ${If} ${Errors}
        !insertmacro GoBack ${CODE_FILES} "$(TEXT_FILES)"
    ${EndIf}
    DetailPrint "$(TEXT_STARTING)"
    Call WriteConfiguration
    ${If} $Code != 0
        !insertmacro GoBack ${CODE_START} "$(TEXT_SERVICE) $Said"
    ${EndIf}
    ; `setup` has started it with a broker that is new.
    ${If} $Broker == ""
        Call StartService
        ${If} $Code != 0
            !insertmacro GoBack ${CODE_START} "$(TEXT_SERVICE) $Said"
        ${EndIf}
    ${EndIf}

    WriteUninstaller "$INSTDIR\uninstall.exe"
    Call Register
    ${Step} "$INSTDIR\app" 'path add "$INSTDIR\app"'
    RMDir /r "$INSTDIR\app.old"
    Delete "$Config.before"
    SetErrorLevel 0
SectionEnd

; Makes app.new in one step as a folder that only administrators change, and keeps it open. What runs
; from it until `check` has looked at the folders above is so what this program has unpacked, also
; where all users may rename and replace what lies in $INSTDIR.
Function MakeNew
    StrCpy $Held 0
    CreateDirectory "$INSTDIR"
    StrCpy $6 "$INSTDIR\app.new"
    StrCpy $7 "${PROGRAM_RULES}"
    System::Call 'advapi32::ConvertStringSecurityDescriptorToSecurityDescriptorW(w r7, i 1, *p .r2, p 0)'
    ; UNICODE_STRING, OBJECT_ATTRIBUTES (48 bytes, OBJ_CASE_INSENSITIVE) and IO_STATUS_BLOCK; what is
    ; padded in them is written as the upper half of the number before.
    System::Call '*(l 0, p 0) p .r1'
    System::Call 'ntdll::RtlDosPathNameToNtPathName_U(w r6, p r1, p 0, p 0)'
    System::Call '*(l 48, p 0, p r1, l 0x40, p r2, p 0) p .r3'
    System::Call '*(p 0, p 0) p .r4'
    ; FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES | SYNCHRONIZE; others may read and write in it, not
    ; delete or rename it; FILE_CREATE: what is there already is not ours;
    ; FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT.
    System::Call 'ntdll::NtCreateFile(*p .r5, i 0x100081, p r3, p r4, p 0, i 0x80, i 3, i 2, i 0x21, p 0, i 0) i .r0'
    System::Call 'ntdll::RtlFreeUnicodeString(p r1)'
    System::Call 'kernel32::LocalFree(p r2)'
    System::Free $1
    System::Free $3
    System::Free $4
    ClearErrors
    ${If} $0 == 0
        StrCpy $Held $5
    ${Else}
        SetErrors
    ${EndIf}
FunctionEnd

Function LetGo
    ${If} $Held != 0
        System::Call 'kernel32::CloseHandle(p $Held)'
        StrCpy $Held 0
    ${EndIf}
FunctionEnd

Function GiveUp
    SetOutPath "$TEMP"
    Call LetGo
    RMDir /r "$INSTDIR\app.new"
    ; Only where nothing else lies in it.
    RMDir "$INSTDIR"
    Pop $0
    SetErrorLevel $0
    Pop $0
    DetailPrint "$0"
    IfSilent +2
    MessageBox MB_OK|MB_ICONSTOP "$0$\r$\n$\r$\n$(TEXT_LOG) $LogFile"
    Quit
FunctionEnd

Function GoBack
    SetOutPath "$TEMP"
    ${If} ${FileExists} "$INSTDIR\app\python.exe"
        ${Step} "$INSTDIR\app" 'agent service stop'
        ${If} $Before == 0
            ${Step} "$INSTDIR\app" 'agent service remove'
        ${EndIf}
        !insertmacro Move "$INSTDIR\app" "$INSTDIR\app.new"
    ${EndIf}
    ${If} ${FileExists} "$Config.before"
        Delete "$Config"
        Rename "$Config.before" "$Config"
    ${EndIf}
    ${If} $Before == 1
        !insertmacro Move "$INSTDIR\app.old" "$INSTDIR\app"
        Call StartService
    ${EndIf}
    Call GiveUp
FunctionEnd

; Tries what is new about the configuration, and writes nothing that counts.
Function TryConfiguration
    StrCpy $Code 0
    ${If} $Prepared != ""
        ${Step} "$INSTDIR\app.new" 'agent config check --config "$Prepared"'
    ${ElseIf} $Broker != ""
    ${AndIf} $Untested != 1
        StrCpy $R7 "$INSTDIR\app.new"
        Call TryBroker
    ${EndIf}
FunctionEnd

; Tries the broker with the Python in $R7.
Function TryBroker
    StrCpy $R6 'agent setup --no-service --yes --no-pair --config "$PLUGINSDIR\tried\config.yaml"'
    Call AddBroker
    ${Step} "$R7" '$R6'
    RMDir /r "$PLUGINSDIR\tried"
FunctionEnd

; Adds the broker to the command in $R6; a password that was typed is in the environment.
Function AddBroker
    StrCpy $R6 '$R6 --broker "$Broker"'
    ${If} $Username != ""
        StrCpy $R6 '$R6 --username "$Username"'
    ${EndIf}
    ${If} $PasswordFile != ""
        StrCpy $R6 '$R6 --password-file "$PasswordFile"'
    ${EndIf}
FunctionEnd

; Writes what is new about the configuration; what is as it was needs no such thing.
Function WriteConfiguration
    StrCpy $Code 0
    CopyFiles /SILENT "$Config" "$Config.before"
    ClearErrors
    ${If} $Prepared != ""
        ; Makes the folders, and closes them, before anything secret lies in them.
        ${Step} "$INSTDIR\app" 'agent service install --config "$Config" --state-dir "$Settings\state"'
        ${If} $Code == 0
            ${Step} "$INSTDIR\app" 'adopt "$Prepared" "$Config"'
        ${EndIf}
    ${ElseIf} $Broker != ""
        StrCpy $R6 'agent setup --yes --no-pair --untested'
        Call AddBroker
        ${Step} "$INSTDIR\app" '$R6'
    ${EndIf}
FunctionEnd

Function StartService
    StrCpy $R6 'agent service install --config "$Config" --state-dir "$Settings\state"'
    ; Without a configuration it could only fail; `pilot-agent setup` writes one.
    ${If} ${FileExists} "$Config"
        StrCpy $R6 '$R6 --start'
    ${EndIf}
    ${Step} "$INSTDIR\app" '$R6'
FunctionEnd

; The entry in Settings > Apps.
Function Register
    WriteRegStr HKLM "${UNINSTALL_KEY}" DisplayName "Pilot Agent"
    WriteRegStr HKLM "${UNINSTALL_KEY}" DisplayVersion "${VERSION}"
    WriteRegStr HKLM "${UNINSTALL_KEY}" Publisher "${PUBLISHER}"
    WriteRegStr HKLM "${UNINSTALL_KEY}" URLInfoAbout "${HOMEPAGE}"
    WriteRegStr HKLM "${UNINSTALL_KEY}" InstallLocation "$INSTDIR"
    WriteRegStr HKLM "${UNINSTALL_KEY}" DisplayIcon "$INSTDIR\uninstall.exe"
    WriteRegStr HKLM "${UNINSTALL_KEY}" UninstallString '"$INSTDIR\uninstall.exe"'
    WriteRegStr HKLM "${UNINSTALL_KEY}" QuietUninstallString '"$INSTDIR\uninstall.exe" /S'
    WriteRegDWORD HKLM "${UNINSTALL_KEY}" EstimatedSize ${SIZE_KIB}
    WriteRegDWORD HKLM "${UNINSTALL_KEY}" NoModify 1
    WriteRegDWORD HKLM "${UNINSTALL_KEY}" NoRepair 1
FunctionEnd

; --- Removing -----------------------------------------------------------------------------------

Function un.onInit
    !insertmacro Prepare
FunctionEnd

Section Uninstall
    ; Keys and history are kept unless their deletion is asked for.
    ${IfNot} ${Silent}
        StrCpy $Purge 0
        MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "$(TEXT_PURGE)" IDNO +2
        StrCpy $Purge 1
    ${EndIf}
    SetOutPath "$TEMP"
    StrCpy $R6 'remove "$INSTDIR\app"'
    ${If} $Purge == 1
        StrCpy $R6 '$R6 --purge'
    ${EndIf}
    ${Step} "$INSTDIR\app" '$R6'
    ${If} $Code != 0
        !insertmacro Refuse ${CODE_START} "$(TEXT_NOT_REMOVED) $Said"
    ${EndIf}
    RMDir /r /REBOOTOK "$INSTDIR\app"
    RMDir /r "$INSTDIR\app.old"
    RMDir /r "$INSTDIR\app.new"
    Delete "$INSTDIR\uninstall.exe"
    RMDir "$INSTDIR"
    DeleteRegKey HKLM "${UNINSTALL_KEY}"
    SetErrorLevel 0
SectionEnd
